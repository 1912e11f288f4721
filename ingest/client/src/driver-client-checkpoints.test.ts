// Checkpoints with a deadline, in every state of the client.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { DriverClient } from './driver-client.js';
import type { ClientState } from './driver-client-options.js';
import { type PeerScript, TestServer, until } from './test-peer.js';
import { BERLIN, closeAfterEach, connect, serve } from './test-rig.js';

closeAfterEach();

const LATE = { name: 'CheckpointError', code: 'deadline' };

describe('a checkpoint with a deadline', () => {
  const scripts: [what: string, state: ClientState, script: PeerScript][] = [
    ['is connected and hears nothing', 'open', {}],
    ['waits for hello', 'connecting', { connection: () => {} }],
    [
      'waits for another attempt',
      'waiting',
      { upgrade: () => ({ status: 503, headers: { 'retry-after': '60' } }) },
    ],
    ['is refused', 'refused', { upgrade: () => 401 }],
  ];
  for (const [what, state, script] of scripts)
    it(`rejects when it passes, while the client ${what}`, async () => {
      const server = await serve(script);
      const client = connect(server, { tokenBackoff: { baseMs: 1e9, maxMs: 1e9 } });
      await until(state, () => server.upgrades === 1 && client.state === state);
      const startedAtMs = performance.now();
      const patient = client.checkpoint(BERLIN, 'patient');
      await assert.rejects(client.checkpoint(BERLIN, undefined, { deadlineMs: 300 }), LATE);
      const waitedMs = performance.now() - startedAtMs;
      assert.ok(waitedMs >= 299 && waitedMs < 10_000, `after ${waitedMs} ms`);
      assert.deepEqual([client.stats.waitingCheckpoints, client.state, server.upgrades], [1, state, 1]);
      await Promise.all([client.close(), assert.rejects(patient, { code: 'closed' })]);
    });

  it('rejects also where the address is wrong', async () => {
    const server = await TestServer.start();
    await server.stop();
    const client = connect(server);
    await assert.rejects(client.checkpoint(BERLIN, 'trip-1', { deadlineMs: 200 }), LATE);
  });

  it('is withdrawn: it makes room, and does not go out again', async () => {
    const server = await serve();
    const client = connect(server);
    const ten = Array.from({ length: 10 }, (_, i) => client.checkpoint(BERLIN, `c${i}`, { deadlineMs: 200 }));
    await assert.rejects(client.checkpoint(BERLIN), { code: 'too_many_checkpoints' });
    for (const one of ten) await assert.rejects(one, LATE);
    const next = client.checkpoint(BERLIN, 'next');
    await until('they have gone out', () => server.last.positions.some((p) => p.checkpoint_id === 'next'));
    server.last.send({ type: 'persisted', seq: 1 }); // late, without effect
    server.last.cut();
    await until('the next connection', () => server.peers[1]?.positions.length === 1);
    assert.deepEqual(
      server.last.positions.map((position) => position.checkpoint_id),
      ['next'],
    );
    server.last.send({ type: 'persisted', seq: server.last.positions[0]?.seq ?? 0 });
    await next;
  });

  it('resolves where it is persisted in time, after N connections that were lost', async () => {
    const server = await serve({
      message: (peer, message) => {
        if (server.peers.length <= 3) peer.cut();
        else if (message.type === 'position') peer.send({ type: 'persisted', seq: message.seq });
      },
    });
    const client = connect(server);
    await client.checkpoint(BERLIN, 'trip-1', { deadlineMs: 60_000 });
    assert.equal(server.peers.length, 4);
    await client.checkpoint(BERLIN, 'trip-2', { deadlineMs: Number.POSITIVE_INFINITY });
  });

  it('has a deadline above 0, or none', () => {
    const client = new DriverClient({ url: 'ws://127.0.0.1:9', token: 'a' });
    for (const deadlineMs of [0, -1, Number.NaN])
      assert.throws(() => client.checkpoint(BERLIN, 'a', { deadlineMs }), RangeError);
    return client.close();
  });
});

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { WebSocket } from 'ws';
import { DriverClient } from './driver-client.js';
import { until } from './test-peer.js';
import { BERLIN, closeAfterEach, closesOf, connect, QUICK, serve } from './test-rig.js';

closeAfterEach();

describe('DriverClient', () => {
  for (const format of ['json', 'bin'] as const)
    it(`reports, is acknowledged and says goodbye in ${format}`, async () => {
      const server = await serve({
        message: (peer, message) => {
          if (message.type === 'position') peer.send({ type: 'ack', seq: message.seq });
        },
      });
      const client = connect(server, { format });
      const acks: number[] = [];
      client.on('ack', ({ seq }) => acks.push(seq));
      client.on('hello', () =>
        client.report({ ...BERLIN, headingDeg: 90, speedMps: -1, status: 'busy', services: 3 }),
      );
      await until('the first ack', () => acks.length === 1);
      client.report(BERLIN);
      await until('the second ack', () => acks.length === 2);
      const { request, positions } = server.last;
      assert.equal(request.url, '/v1/stream?ack=sparse');
      assert.equal(request.headers.authorization, 'Bearer a.b.c');
      assert.equal(request.headers['sec-websocket-protocol'], `whereabouts.v1.${format}`);
      const [first, second] = positions;
      assert.ok(first && second);
      assert.deepEqual(
        [first.lat, first.lon, first.heading_deg, first.status, first.services, first.speed_mps],
        [52.52, 13.405, 90, 'busy', 3, undefined],
      );
      assert.deepEqual([first.seq, second.seq, ...acks], [1, 2, 1, 2]);
      await client.close();
      assert.equal(server.last.received.at(-1)?.type, 'bye');
      assert.equal(client.report(BERLIN), false);
      assert.deepEqual([client.stats.sent, client.stats.acked, client.stats.connections], [2, 2, 1]);
    });

  it('gives the token as a subprotocol where headers cannot be set', async () => {
    const server = await serve();
    const client = connect(server, { WebSocket, ack: 'each' });
    await until('open', () => client.state === 'open');
    assert.equal(server.last.request.headers['sec-websocket-protocol'], 'whereabouts.v1.json,bearer.a.b.c');
    assert.equal(server.last.request.url, '/v1/stream?ack=each');
  });

  it('keeps only the newest report while offline, and sends it when there is a connection', async () => {
    const server = await serve({ upgrade: (_, nth) => (nth <= 3 ? 503 : undefined) });
    const client = connect(server);
    for (let i = 0; i < 100; i++) client.report({ ...BERLIN, lat: i / 10 });
    await until('a report', () => server.peers[0]?.positions.length === 1);
    assert.equal(server.last.positions[0]?.lat, 9.9);
    assert.deepEqual([client.stats.sent, client.stats.dropped], [1, 99]);
  });

  it('comes back after N failures, of the handshake and of connections, and repeats what may be lost', async () => {
    const server = await serve({
      upgrade: (_, nth) => (nth === 2 || nth === 3 ? 500 : undefined),
      connection: (peer, nth) => {
        if (nth === 5) peer.cut();
        else peer.hello();
      },
    });
    const client = connect(server);
    const closes = closesOf(client);
    client.report(BERLIN);
    await until('a report', () => server.peers[0]?.positions.length === 1);
    server.last.cut();
    await until('a second connection', () => server.peers[1]?.positions.length === 1);
    server.last.cut();
    await until('one more', () => server.peers[3]?.positions.length === 1);
    assert.equal(server.upgrades, 6);
    assert.equal(closes.length, 5);
    assert.ok(closes.every(({ reconnectInMs }) => reconnectInMs !== null && reconnectInMs <= QUICK.maxMs));
    const seen = server.peers.flatMap((peer) => peer.positions);
    assert.deepEqual(
      seen.map(({ seq }) => seq),
      [1, 1, 1],
    );
    assert.equal(new Set(seen.map((position) => position.recorded_at_ms)).size, 1);
  });

  it('goes on for ever where nobody answers, with waits that stay bounded', async () => {
    const server = await serve({ upgrade: () => 500 });
    const client = connect(server);
    const closes = closesOf(client);
    const persisted = client.checkpoint(BERLIN);
    await until('30 failures', () => closes.length >= 30, 30_000);
    assert.equal(client.state === 'waiting' || client.state === 'connecting', true);
    assert.ok(closes.every(({ reconnectInMs }) => reconnectInMs !== null && reconnectInMs <= QUICK.maxMs));
    assert.equal(client.stats.waitingCheckpoints, 1);
    await Promise.all([
      client.close(),
      assert.rejects(persisted, { name: 'CheckpointError', code: 'closed' }),
    ]);
  });

  it('sends a checkpoint again with the same id and time until it is persisted', async () => {
    const server = await serve();
    const client = connect(server);
    const persisted = client.checkpoint({ ...BERLIN, status: 'available' });
    let settled = false;
    void persisted.then(() => {
      settled = true;
    });
    for (const nth of [0, 1, 2]) {
      await until('the checkpoint', () => server.peers[nth]?.positions.length === 1);
      if (nth === 1) server.last.send({ type: 'ack', seq: 1 });
      if (nth < 2) server.last.cut();
    }
    assert.equal(settled, false);
    server.last.send({ type: 'persisted', seq: 1 });
    await persisted;
    const seen = server.peers.flatMap((peer) => peer.positions);
    assert.equal(new Set(seen.map((position) => position.checkpoint_id)).size, 1);
    assert.equal(new Set(seen.map((position) => position.recorded_at_ms)).size, 1);
    assert.ok(seen.every((position) => position.checkpoint === true));
    server.last.cut();
    await until('a connection without it', () => server.peers.length === 4 && client.state === 'open');
    assert.equal(server.last.positions.length, 0);
  });

  it('resends a checkpoint that was refused for now, and gives up one that was refused for good', async () => {
    const answers = [
      { code: 'region_unavailable', retryable: true },
      { code: 'too_fast', retryable: false },
      { code: 'bad_position', retryable: false },
    ];
    const server = await serve({
      message: (peer, message) => {
        const answer = answers.shift();
        if (message.type === 'position' && answer)
          peer.send({ type: 'nack', seq: message.seq, ...answer, retry_after_ms: 1, detail: 'no' });
      },
    });
    const client = connect(server);
    await assert.rejects(client.checkpoint(BERLIN, 'trip-7'), {
      name: 'CheckpointError',
      code: 'bad_position',
    });
    // The same report again under its own seq; after a final nack it must be a different one.
    assert.deepEqual(
      server.last.positions.map(({ seq }) => seq),
      [1, 1, 2],
    );
    assert.deepEqual(client.stats.nacked, { region_unavailable: 1, too_fast: 1, bad_position: 1 });
    assert.deepEqual([client.stats.sent, client.stats.resent, client.stats.waitingCheckpoints], [3, 2, 0]);
  });

  it('rejects the eleventh checkpoint that would wait', async () => {
    const client = connect(await serve());
    const ten = Array.from({ length: 10 }, () => client.checkpoint(BERLIN));
    await assert.rejects(client.checkpoint(BERLIN), { code: 'too_many_checkpoints' });
    await Promise.all([client.close(), ...ten.map((one) => assert.rejects(one, { code: 'closed' }))]);
  });

  it('sends ten checkpoints within the limits of the server', async () => {
    const server = await serve({
      connection: (peer) => peer.hello({ max_reports_per_s: 50, burst: 5 }),
      message: (peer, message) => {
        if (message.type === 'position') peer.send({ type: 'persisted', seq: message.seq });
      },
    });
    // The times by the client's own clock: on a late machine they arrive together.
    const sentAtMs: number[] = [];
    class WritesDown extends WebSocket {
      override send(data: string): void {
        sentAtMs.push(performance.now());
        super.send(data);
      }
    }
    const client = connect(server, { WebSocket: WritesDown });
    await Promise.all(Array.from({ length: 10 }, () => client.checkpoint(BERLIN)));
    assert.deepEqual(
      server.last.positions.map(({ seq }) => seq),
      [1, 2, 3, 4, 5, 6, 7, 8, 9, 10],
    );
    // A burst and then one in 20 ms; a late machine may cost the client some of that.
    assert.equal(sentAtMs.length, 10);
    assert.ok((sentAtMs[9] as number) - (sentAtMs[0] as number) >= 4 * 20, 'all went in one burst');
  });

  it('sends a report again after a retryable nack, unless there is a newer one', async () => {
    const server = await serve();
    const client = connect(server);
    client.report(BERLIN);
    await until('a report', () => server.peers[0]?.positions.length === 1);
    const nack = { type: 'nack', code: 'overloaded', retryable: true, detail: '' } as const;
    server.last.send({ ...nack, seq: 1, retry_after_ms: 5 });
    await until('it again', () => server.last.positions.length === 2);
    assert.deepEqual(server.last.positions[1], server.last.positions[0]);
    server.last.send({ ...nack, seq: 1, retry_after_ms: 60_000 });
    await until('the nack', () => client.stats.nacked.overloaded === 2);
    client.report({ ...BERLIN, lat: 1 });
    await until('the newer one', () => server.last.positions.length === 3);
    assert.deepEqual([server.last.positions[2]?.seq, server.last.positions[2]?.lat], [2, 1]);
  });

  it('does not take a nacked report for an acknowledged one', async () => {
    const server = await serve();
    const client = connect(server);
    await until('open', () => client.state === 'open');
    for (let i = 1; i <= 3; i++) client.report({ ...BERLIN, lat: i });
    server.last.send({ type: 'nack', seq: 2, code: 'stale', retryable: false, detail: '' });
    server.last.send({ type: 'ack', seq: 3 });
    await until('the ack', () => client.stats.acked > 0);
    assert.deepEqual([client.stats.sent, client.stats.acked, client.stats.nacked.stale], [3, 2, 1]);
  });

  it('keeps to the pace that the server asks for, and sends the newest when it is time', async () => {
    const server = await serve();
    const client = connect(server);
    await until('open', () => client.state === 'open');
    let paced = false;
    client.on('pace', () => {
      paced = true;
    });
    server.last.send({ type: 'pace', report_interval_ms: 200 });
    await until('the pace', () => paced);
    const beforeMs = performance.now();
    for (let i = 0; i <= 50; i++) client.report({ ...BERLIN, lat: i });
    await until('two reports', () => server.last.positions.length === 2);
    assert.ok(performance.now() - beforeMs >= 150, 'the second came at once');
    assert.deepEqual(
      server.last.positions.map(({ lat }) => lat),
      [0, 50],
    );
  });

  it("takes no notice of a step of this machine's clock, and lets times only grow", async (t) => {
    const serverTimeMs = 1_700_000_000_000;
    const startedAtMs = performance.now();
    const server = await serve({ connection: (peer) => peer.hello({}, serverTimeMs) });
    const client = connect(server);
    await until('open', () => client.state === 'open');
    const trueNow = Date.now;
    t.after(() => {
      Date.now = trueNow;
    });
    for (const stepMs of [0, 3_600_000, -86_400_000]) {
      Date.now = () => trueNow() + stepMs;
      for (let i = 0; i < 10; i++) client.report(BERLIN);
    }
    await until('all reports', () => server.last.positions.length === 30);
    const times = server.last.positions.map((position) => position.recorded_at_ms as number);
    assert.ok(times.every((time, i) => i === 0 || time > (times[i - 1] as number)));
    assert.ok((times[0] as number) >= serverTimeMs);
    assert.ok((times[29] as number) <= serverTimeMs + performance.now() - startedAtMs + 1000);
  });

  it('learns the time anew where the server refuses the time of a young report', async () => {
    const server = await serve();
    const client = connect(server);
    client.report(BERLIN);
    await until('a report', () => server.peers[0]?.positions.length === 1);
    server.last.send({ type: 'nack', seq: 1, code: 'too_old', retryable: false, detail: '' });
    await until('a second hello', () => server.peers.length === 2 && client.state === 'open');
  });

  it('leaves messages unread that it does not know', async () => {
    const server = await serve();
    const client = connect(server);
    await until('open', () => client.state === 'open');
    server.last.sendText('{"type":"of tomorrow"}');
    server.last.send({ type: 'pace', report_interval_ms: 7 });
    await new Promise<void>((resolve) => client.on('pace', () => resolve()));
    assert.equal(client.state, 'open');
  });
});

describe('DriverClient, told to leave', () => {
  it('comes back soon and not at once after 1012', async () => {
    const server = await serve();
    const client = connect(server, { backoff: { baseMs: 60_000, maxMs: 60_000 } });
    const closes = closesOf(client);
    await until('open', () => client.state === 'open');
    server.last.close(1012);
    await until('a second connection', () => server.peers.length === 2);
    assert.equal(closes[0]?.code, 1012);
    assert.ok((closes[0]?.reconnectInMs ?? Infinity) <= 1000);
  });

  for (const code of [4403, 4409])
    it(`stays away after ${code}`, async () => {
      const server = await serve();
      const client = connect(server);
      const closes = closesOf(client);
      const persisted = client.checkpoint(BERLIN);
      await until('the checkpoint', () => server.peers[0]?.positions.length === 1);
      server.last.close(code);
      await assert.rejects(persisted, { code: 'closed' });
      await until('the close', () => closes.length === 1);
      assert.deepEqual([closes[0]?.code, closes[0]?.reconnectInMs, client.state], [code, null, 'closed']);
    });

  it('waits for a fresh token after 4401, with its checkpoints', async () => {
    const server = await serve({
      message: (peer, m) => m.type === 'position' && peer.send({ type: 'persisted', seq: m.seq }),
    });
    const client = connect(server, { tokenBackoff: { baseMs: 1e9, maxMs: 1e9 } });
    await until('open', () => client.state === 'open');
    server.last.close(4401);
    await until('refused', () => client.state === 'refused');
    const persisted = client.checkpoint(BERLIN);
    client.renewToken('a.b.c'); // the refused one
    assert.equal(client.state, 'refused');
    client.renewToken('d.e.f');
    await persisted;
    assert.equal(server.last.request.headers.authorization, 'Bearer d.e.f');
    assert.equal(server.upgrades, 2);
  });

  it('asks for tokens until there is another one than that refused before the upgrade', async () => {
    const server = await serve({
      upgrade: (request) => (request.headers.authorization === 'Bearer good' ? undefined : 401),
    });
    let asked = 0;
    const getToken = async () => {
      asked++;
      if (asked === 2) throw new Error('the network is away');
      return asked < 5 ? 'bad' : 'good';
    };
    const client = connect(server, { getToken, tokenBackoff: { baseMs: 1e9, maxMs: 1e9 } });
    const closes = closesOf(client);
    await until('open', () => client.state === 'open');
    assert.deepEqual([asked, server.upgrades], [5, 2]);
    assert.equal(closes[0]?.code, 4401);
  });

  it('renews a token before it ends, on the same connection', async () => {
    const server = await serve();
    const token = (endsInMs: number): string => {
      const claims = JSON.stringify({ sub: 'd1', exp: (Date.now() + endsInMs) / 1000 });
      return `e30.${Buffer.from(claims).toString('base64url')}.sig`;
    };
    const tokens = [token(300), token(3_600_000)];
    const client = connect(server, { getToken: () => tokens.shift() ?? 'none' });
    await until('the token', () => server.peers[0]?.received.some(({ type }) => type === 'token') === true);
    assert.deepEqual([client.state, server.upgrades, tokens.length], ['open', 1, 0]);
  });

  for (const code of ['not_ready', 'bad_message'])
    it(`brings a token again that was refused as ${code} N times, on the same connection`, async () => {
      let refusals = 0;
      const server = await serve({
        message: (peer, message) => {
          if (message.type !== 'token' || refusals >= 3) return;
          refusals++;
          peer.send({ type: 'nack', seq: null, code, retryable: code === 'not_ready', detail: 'no' });
        },
      });
      const client = connect(server, { tokenBackoff: QUICK });
      await until('open', () => client.state === 'open');
      client.renewToken('d.e.f');
      const brought = () => server.last.received.filter(({ type }) => type === 'token');
      await until('it was brought 4 times', () => brought().length === 4);
      assert.deepEqual(new Set(brought().map((message) => JSON.stringify(message))).size, 1);
      assert.deepEqual([client.state, server.upgrades, client.stats.nacked[code]], ['open', 1, 3]);
    });

  it('goes on asking where a renewal finds no token, or the old one', async () => {
    const server = await serve();
    const claims = (endsInMs: number): string => JSON.stringify({ exp: (Date.now() + endsInMs) / 1000 });
    const token = (endsInMs: number): string => `e.${Buffer.from(claims(endsInMs)).toString('base64url')}.s`;
    const first = token(2000);
    const fresh = token(3_600_000);
    let asked = 0;
    const getToken = (): string => {
      asked++;
      if (asked === 2) throw new Error('the network is away');
      return asked < 5 ? first : fresh;
    };
    const client = connect(server, { getToken, tokenBackoff: QUICK });
    await until('the fresh token', () =>
      Boolean(server.peers[0]?.received.some((m) => m.type === 'token' && m.token === fresh)),
    );
    assert.deepEqual([client.state, server.upgrades, asked], ['open', 1, 5]);
  });

  it('refuses options and positions that cannot be meant', async () => {
    assert.throws(() => new DriverClient({ url: 'ws://h', token: 'a', getToken: () => 'b' }), TypeError);
    assert.throws(() => new DriverClient({ url: 'ws://h' }), TypeError);
    assert.throws(() => new DriverClient({ url: 'nowhere', token: 'a' }), TypeError);
    const client = connect(await serve());
    assert.throws(() => client.report({ lat: Number.NaN, lon: 0 }), RangeError);
    assert.throws(() => client.report({ lat: 0, lon: 181 }), RangeError);
    assert.throws(() => client.report({ ...BERLIN, services: 65_536 }), RangeError);
    assert.throws(() => client.checkpoint(BERLIN, 'not an id'), RangeError);
  });
});

// LogStore.claim: which connection of a driver is the newest, and under which session.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { seededRandom } from '../seeded-random.js';
import { readLibrary } from './library.js';
import type { Claim, ClaimKind, ClaimResult, LogStore } from './log-store.js';
import { type LogFixture, startLogStore } from './testing/log-fixture.js';

let fixture: LogFixture;
let store: LogStore;
/** Each test has a partition of its own. */
let partition = 0;

before(async () => {
  fixture = await startLogStore();
  store = fixture.store;
});
after(() => fixture.stop());

const next = () => ++partition;
const sessionsKey = (p: number) => `sessions:{${fixture.map.tagOf(p)}}`;

async function claim(
  p: number,
  kind: ClaimKind,
  connectionId: string,
  o: Partial<Claim> = {},
): Promise<ClaimResult> {
  const one = { kind, driverId: 'd', connectionId, connectedAtMs: 0, session: 0, ...o };
  const { results } = await store.claim(p, [one]);
  return results[0] as ClaimResult;
}

/** The same, of which the node says that it came after arrival counted. */
async function claimStalled(p: number, connectionId: string, connectedAtMs: number, session: number) {
  const tag = fixture.map.tagOf(p);
  const call = ['FCALL', `claim_${readLibrary().version}`, 2, `meta:{${tag}}`, sessionsKey(p)] as const;
  const args = [fixture.map.hash, 1, 'f', 'd', connectionId, connectedAtMs, session] as const;
  const reply = (await fixture.command(p, ...call, ...args)) as Buffer[];
  return { letter: String(reply[2]), session: Number(reply[3]), holder: String(reply[4]) };
}

async function standing(p: number) {
  return (await store.sessions(p, ['d']))[0];
}

test('the first claim of each connection wins by arrival, under a greater session', async () => {
  const p = next();
  const one = await claim(p, 'first', 'one');
  assert.deepEqual([one.won, one.holder], [true, '']);
  const two = await claim(p, 'first', 'two');
  assert.ok(two.won && two.session > one.session && two.holder === 'one');
  assert.deepEqual(await standing(p), { session: two.session, connectionId: 'two' });
  assert.deepEqual(await store.sessions(p, ['nobody']), [null]);
});

test('a claim that is repeated changes nothing, whatever kind it has', async () => {
  const p = next();
  const { session } = await claim(p, 'first', 'one');
  for (const kind of ['first', 'late', 'given'] as const) {
    const again = await claim(p, kind, 'one', { session });
    assert.deepEqual(again, { won: true, session, holder: 'one', isHolderRenumbered: false }, kind);
  }
});

test('a connection keeps the session that it began with, where that is the greatest', async () => {
  const p = next();
  const session = store.nowMs();
  assert.equal((await claim(p, 'first', 'one', { session })).session, session);
  assert.equal((await claim(p, 'first', 'two', { session })).session, session + 1);
});

test('a process whose clock is behind: its session is of the clock of the node, and its first claim wins', async () => {
  const p = next();
  const nowMs = store.nowMs();
  const one = await claim(p, 'first', 'one', { session: 1_000, connectedAtMs: nowMs - 3_600_000 });
  assert.ok(one.session >= nowMs - 1_000, 'greater than any session that was forgotten');
  const two = await claim(p, 'first', 'two', { session: 1_001, connectedAtMs: nowMs - 7_200_000 });
  assert.ok(two.won && two.session > one.session);
  // What the one says later is ordered as they arrived.
  const late = await claim(p, 'late', 'one', { session: 1_000, connectedAtMs: nowMs - 3_600_000 });
  assert.deepEqual([late.won, late.session], [false, two.session]);
});

test('a late claim loses to a connection that was made later, and wins against one that was made before', async () => {
  const p = next();
  const nowMs = store.nowMs();
  const one = await claim(p, 'first', 'one');
  const lost = await claim(p, 'late', 'before', { connectedAtMs: nowMs - 60_000, session: nowMs - 60_000 });
  assert.deepEqual(lost, { won: false, session: one.session, holder: 'one', isHolderRenumbered: false });
  const won = await claim(p, 'late', 'after', { connectedAtMs: nowMs + 400, session: 5 });
  assert.deepEqual(won, { won: true, session: one.session + 1, holder: 'one', isHolderRenumbered: false });
});

test('who loses with a session that is not below: the holder gets a greater one', async () => {
  const p = next();
  const nowMs = store.nowMs();
  const one = await claim(p, 'first', 'one');
  const session = one.session + 5_000;
  const lost = await claim(p, 'late', 'before', { connectedAtMs: nowMs - 60_000, session });
  assert.deepEqual(lost, { won: false, session: session + 1, holder: 'one', isHolderRenumbered: true });
  assert.deepEqual(await standing(p), { session: session + 1, connectionId: 'one' });
  assert.equal((await claim(p, 'given', 'one', { session: one.session })).session, session + 1);
});

test('sessions that the store gave are in order, whatever the times say', async () => {
  const p = next();
  const one = await claim(p, 'first', 'one');
  const two = await claim(p, 'first', 'two');
  // As after a failover to a node whose clock is an hour ahead.
  const o = { connectedAtMs: store.nowMs() + 3_600_000, session: one.session };
  assert.deepEqual(await claim(p, 'given', 'one', o), {
    won: false,
    session: two.session,
    holder: 'two',
    isHolderRenumbered: false,
  });
});

test('first claims that lay in a stalled node count as late ones: the later connection wins in either order', async () => {
  for (const order of [
    [0, 1],
    [1, 0],
  ] as const) {
    const p = next();
    const nowMs = store.nowMs();
    for (const i of order) await claimStalled(p, `c${i}`, nowMs - 200 + 100 * i, nowMs - 200 + 100 * i);
    assert.equal((await standing(p))?.connectionId, 'c1', `in the order ${order}`);
    assert.equal((await claim(p, 'late', 'c1', { connectedAtMs: nowMs - 100 })).won, true);
    assert.equal((await claim(p, 'late', 'c0', { connectedAtMs: nowMs - 200 })).won, false);
  }
});

test('an entry of the future, from a clock that came back, keeps no connection out', async () => {
  const p = next();
  const nowMs = store.nowMs();
  const value = Buffer.alloc(18);
  for (const at of [0, 6, 12]) value.writeUIntLE(nowMs + 3_600_000, at, 6);
  await fixture.command(p, 'HSET', sessionsKey(p), 'd', Buffer.concat([value, Buffer.from('old')]));
  const late = await claim(p, 'late', 'one', { connectedAtMs: nowMs - 100, session: nowMs - 100 });
  assert.deepEqual([late.won, late.session, late.holder], [true, nowMs + 3_600_001, 'old']);
  const given = await claim(p, 'given', 'old', { connectedAtMs: nowMs - 5_000, session: nowMs + 3_600_000 });
  assert.equal(given.won, false);
  // From now on times are of this clock.
  assert.equal((await claim(p, 'late', 'before', { connectedAtMs: nowMs - 200 })).won, false);
  assert.equal((await claim(p, 'late', 'after', { connectedAtMs: nowMs - 50 })).won, true);
});

test('lost with a tail: whoever claims first, the newest connection ends as the holder, never below its session', async () => {
  for (const order of [
    ['one', 'two'],
    ['two', 'one'],
  ] as const) {
    const p = next();
    const nowMs = store.nowMs();
    const of = {
      one: { connectedAtMs: nowMs - 500, session: (await claim(p, 'first', 'one')).session },
      two: { connectedAtMs: nowMs, session: (await claim(p, 'first', 'two')).session },
    };
    await fixture.command(p, 'DEL', sessionsKey(p));
    for (const id of order)
      assert.equal((await claim(p, 'given', id, of[id])).won, id === 'two' || order[0] === id);
    assert.deepEqual(await standing(p), { session: of.two.session, connectionId: 'two' });
  }
});

test('lost with a tail, and a new connection by a clock that is behind: it stays, and is renumbered', async () => {
  const p = next();
  const nowMs = store.nowMs();
  const ahead = nowMs + 60_000;
  const one = await claim(p, 'first', 'one', { session: ahead, connectedAtMs: nowMs - 1_000 });
  assert.equal(one.session, ahead);
  await fixture.command(p, 'DEL', sessionsKey(p));
  const two = await claim(p, 'first', 'two', { session: nowMs, connectedAtMs: nowMs });
  assert.ok(two.session < one.session);
  const again = await claim(p, 'given', 'one', { session: ahead, connectedAtMs: nowMs - 1_000 });
  assert.deepEqual(again, { won: false, session: ahead + 1, holder: 'two', isHolderRenumbered: true });
});

test('what cannot be read counts as nothing', async () => {
  const p = next();
  await fixture.command(p, 'HSET', sessionsKey(p), 'd', 'x');
  assert.equal(await standing(p), null);
  const one = await claim(p, 'late', 'one', { session: 7, connectedAtMs: 7 });
  assert.deepEqual(one, { won: true, session: 7, holder: '', isHolderRenumbered: false });
});

test('a claim counts a revision where it changes something, and many stand in one call', async () => {
  const p = next();
  const claims = Array.from({ length: 256 }, (_, i) => ({
    kind: 'first' as const,
    driverId: `d${i}`,
    connectionId: `c${i}`,
    connectedAtMs: 0,
    session: 0,
  }));
  const { state, results } = await store.claim(p, claims);
  assert.equal(state.revision, 1);
  assert.ok(results.every(({ won, holder }) => won && holder === ''));
  const lost = { ...(claims[0] as Claim), kind: 'late' as const, connectionId: 'x', connectedAtMs: 1 };
  assert.equal((await store.claim(p, [lost])).state.revision, 1);
});

test('a driver twice in one call: the second claim counts after the first', async () => {
  const p = next();
  const of = (connectionId: string) => ({
    kind: 'first' as const,
    driverId: 'd',
    connectionId,
    connectedAtMs: 0,
    session: 0,
  });
  const { results } = await store.claim(p, [of('one'), of('two'), of('one')]);
  assert.deepEqual(
    results.map(({ holder }) => holder),
    ['', 'one', 'two'],
  );
  const sessions = results.map(({ session }) => session);
  assert.deepEqual(sessions, [sessions[0], (sessions[0] ?? 0) + 1, (sessions[0] ?? 0) + 2]);
  assert.deepEqual(await standing(p), { session: sessions[2], connectionId: 'one' });
});

test('a full node takes claims', async () => {
  const p = next();
  await fixture.command(p, 'CONFIG', 'SET', 'maxmemory', '1');
  try {
    assert.equal((await claim(p, 'first', 'one')).won, true);
  } finally {
    await fixture.command(p, 'CONFIG', 'SET', 'maxmemory', '0');
  }
});

test('sweepSessions takes what nobody has claimed for long, and nothing that was claimed again', async () => {
  const p = next();
  await claim(p, 'first', 'one');
  await claim(p, 'first', 'x', { driverId: 'gone' });
  const claimedBeforeMs = store.nowMs() + 1;
  await new Promise((resolve) => setTimeout(resolve, 20));
  const { session } = (await standing(p)) ?? { session: 0 };
  await claim(p, 'given', 'one', { session });
  const swept = await store.sweepSessions(p, { claimedBeforeMs, cursor: '0', pageSize: 100 });
  assert.deepEqual(swept, { cursor: null, removed: 1 });
  assert.deepEqual(await standing(p), { session, connectionId: 'one' });
});

test('a store that has just connected knows the time of the nodes', async () => {
  const origin = performance.timeOrigin;
  Object.defineProperty(performance, 'timeOrigin', { value: origin + 3_600_000, configurable: true });
  try {
    const fresh = await fixture.connect();
    assert.ok(Math.abs(fresh.nowMs() - Date.now()) < 1_000);
  } finally {
    Object.defineProperty(performance, 'timeOrigin', { value: origin, configurable: true });
  }
});

test('the first answer of a term is told, and the time of the node is known', async () => {
  const p = next();
  const told: number[] = [];
  store.onTerm((state) => state.partition === p && told.push(state.term));
  const { term } = await store.touch(p);
  await store.touch(p);
  const after = await store.rewind(p, 1);
  assert.deepEqual(told, [term, after.term]);
  assert.ok(Math.abs(store.nodeTimeMs(p, performance.now()) - Date.now()) < 1_000);
});

test('random orders: the newest connection never loses, and ends with the greatest session that anybody had', async () => {
  const p = next();
  for (let seed = 1; seed <= 60; seed++) {
    const { next: random } = seededRandom(seed);
    const driverId = `r${seed}`;
    const startMs = store.nowMs() - 10_000;
    const connections = Array.from({ length: 4 }, (_, i) => ({
      driverId,
      connectionId: `${driverId}-${i}`,
      connectedAtMs: startMs + 1_000 * i,
      // Their processes' clocks differ.
      session: Math.floor(startMs + 1_000 * i + (random() - 0.5) * 8_000),
      kind: 'first' as ClaimKind,
    }));
    let opened = 0;
    let greatest = 0;
    const send = async (connection: (typeof connections)[number], isHeard: boolean) => {
      greatest = Math.max(greatest, connection.session);
      const { won, session } = (await store.claim(p, [connection])).results[0] as ClaimResult;
      const isNewest = connection === connections[opened - 1];
      assert.ok(won || !isNewest, `seed ${seed}: ${connection.connectionId} lost`);
      if (!isHeard) connection.kind = connection.kind === 'given' ? 'given' : 'late';
      else if (won) {
        connection.session = session;
        connection.kind = 'given';
      } else if (connection.kind === 'first') connection.kind = 'late';
    };
    while (opened < connections.length) {
      const connection = connections[opened++] as (typeof connections)[number];
      if (random() < 0.3) connection.kind = 'late';
      else await send(connection, random() < 0.7);
      for (let i = 0; i < 3; i++) {
        if (random() < 0.2) await fixture.command(p, 'HDEL', sessionsKey(p), driverId);
        const other = connections[Math.floor(random() * opened)] as (typeof connections)[number];
        await send({ ...other, kind: other.kind === 'first' ? 'late' : other.kind }, false);
      }
    }
    for (const connection of [...connections].sort(() => random() - 0.5)) await send(connection, true);
    const newest = connections[3] as (typeof connections)[number];
    await send(newest, true);
    const stands = (await store.sessions(p, [driverId]))[0];
    assert.equal(stands?.connectionId, newest.connectionId, `seed ${seed}`);
    assert.ok((stands?.session ?? 0) >= greatest, `seed ${seed}: ${stands?.session} of ${greatest}`);
  }
});

// Every order in which updates of two drivers, compaction and a crash can fall between the steps of two flushes, one
// after the other, on the real stores. An order is a word:
//
//   a, b   a driver reports            f   the flusher's next step: begin, read, upsert, commit, move the watermark
//   c      the log is compacted        x   the flusher dies; what it had not committed is rolled back, and the next f
//                                          begins anew
//
// A failing one is printed, and replayed alone: WHEREABOUTS_INTERLEAVING=afbffxfffff node --test ...
// Each order ends with everything flushed, where the next one begins, so that an order alone is what it was in the row.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { ToldState } from '@whereabouts/infra/live-store/log-state';
import { batchOf } from '@whereabouts/infra/live-store/testing/log-fixture';
import { position } from '@whereabouts/infra/live-store/testing/store-fixture';
import { isNewer, type Position } from '@whereabouts/infra/position';
import { Client } from 'pg';
import type { Archive } from './archive.js';
import type { FlushRow } from './flush-batch.js';
import { statusOf } from './partition-status.js';
import { type Stack, startStack } from './testing/flusher-process.js';
import { liveView } from './testing/live-view.js';
import { readUnflushed } from './unflushed.js';
import { UnflushedRecords } from './unflushed-records.js';

const PARTITION = 7;
const STEPS = 5;
// `baa` comes to the same as `aab` but for the names.
const UPDATES = ['aab', 'aba'];
/** Between the steps of two flushes that nobody cuts short; the random orders have the others. */
const COMPACTED = 'acb';
const STEP_DEADLINE_MS = 10_000;
/** Held by the test, wanted by every commit: so a transaction stops between its upsert and its commit. */
const GATE = 7_365_001;
const LEASE_MS = 60_000;

let stack: Stack;
let archive: Archive;
let admin: Client;
let seq = 0;
const newest = new Map<string, Position>();

before(async () => {
  stack = await startStack();
  archive = stack.postgres.archive({ mapHash: stack.redis.map.hash });
  const url = new URL(stack.postgres.server.adminUrl);
  url.pathname = '/whereabouts';
  admin = new Client({ connectionString: url.href });
  await admin.connect();
  // Deferred: it runs at the commit. Every flush moves its progress, also where nothing was dirty.
  await admin.query(`
    CREATE FUNCTION gate() RETURNS trigger LANGUAGE plpgsql AS
      $$ BEGIN PERFORM pg_advisory_xact_lock_shared(${GATE}); RETURN NULL; END $$;
    CREATE CONSTRAINT TRIGGER gate AFTER INSERT OR UPDATE ON flush_progress
      DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION gate()`);
  await closeGate();
});
after(async () => {
  await admin?.end();
  await stack?.stop();
});

const closeGate = () => admin.query(`SELECT pg_advisory_lock(${GATE})`);
const openGate = () => admin.query(`SELECT pg_advisory_unlock(${GATE})`);
const WAITING = `SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND NOT granted`;

/** One flush, a step at a time, with the flusher's own calls of both stores. */
class SteppedFlush {
  readonly #steps = [this.#begin, this.#read, this.#upsert, this.#commit, this.#move];
  #next = 0;
  #began: ToldState | null = null;
  #flushedAtMs = 0;
  #rows: FlushRow[] = [];
  #transaction: Promise<unknown> | null = null;

  get isDone(): boolean {
    return this.#next === STEPS;
  }

  async step(): Promise<void> {
    await this.#steps[this.#next++]?.call(this);
  }

  async crash(): Promise<void> {
    if (this.#transaction === null) return;
    await admin.query(`SELECT pg_terminate_backend(pid) FROM (${WAITING}) AS waiting`);
    await this.#transaction.catch(() => {});
  }

  async #begin(): Promise<void> {
    const { store } = stack.redis;
    this.#flushedAtMs = (await statusOf(store, PARTITION)).flushedAtMs;
    this.#began = await store.begin(PARTITION, 'stepped', LEASE_MS);
  }

  async #read(): Promise<void> {
    const newest = new UnflushedRecords(PARTITION, new Map());
    for await (const { unreadable } of readUnflushed(stack.redis.store, this.#began as ToldState, newest))
      assert.deepEqual(unreadable, []);
    this.#rows = newest.take();
  }

  async #upsert(): Promise<void> {
    let isThrough = false;
    const asOfMs = (this.#began as ToldState).nowMs;
    const progress = { partition: PARTITION, asOfMs, flushedAtMs: this.#flushedAtMs };
    this.#transaction = archive.commit(this.#rows, [progress]).then((answer) => {
      isThrough = true;
      assert.deepEqual([answer.refused, answer.behind], [[], []]);
    });
    // Whoever takes the step of the commit hears of it.
    this.#transaction.catch(() => {});
    // Through without a stop where the progress was of this very millisecond already.
    // Without a pause: thousands of these would add up.
    for (const end = performance.now() + STEP_DEADLINE_MS; !isThrough; ) {
      if ((await admin.query(WAITING)).rowCount === 1) return;
      assert.ok(performance.now() < end, 'the upsert ends');
    }
  }

  async #commit(): Promise<void> {
    await openGate();
    await this.#transaction;
    this.#transaction = null;
    await closeGate();
  }

  async #move(): Promise<void> {
    const { term, revision, nowMs: asOfMs } = this.#began as ToldState;
    await stack.redis.store.flushed(PARTITION, { term, revision, asOfMs, flusherId: 'stepped' });
  }
}

async function report(driverId: string): Promise<void> {
  const last = newest.get(driverId)?.recordedAtMs ?? 0;
  const given = position(driverId, { recordedAtMs: Math.max(Date.now(), last + 1), seq: ++seq });
  await stack.redis.store.append(PARTITION, batchOf(given), 1);
  newest.set(driverId, given);
}

/** What the cache calls persisted stands in Postgres, and Postgres has nothing that nobody reported. */
async function assertHolds(): Promise<{ persisted: number }> {
  const view = await liveView(stack.redis.store, PARTITION);
  const { rows } = await admin.query('SELECT driver_id, session, recorded_at FROM driver_positions');
  let persisted = 0;
  for (const [id, last] of newest) {
    const found = view.get(id);
    const row = rows.find((each) => each.driver_id === id);
    const archived = row && { session: Number(row.session), recordedAtMs: row.recorded_at.getTime() };
    assert.equal(found?.recordedAtMs, last.recordedAtMs, `${id}: the cache has the newest`);
    assert.ok(!archived || !isNewer(archived, last), `${id}: Postgres is ahead of its driver`);
    if (!found?.persisted) continue;
    persisted++;
    assert.equal(archived?.recordedAtMs, last.recordedAtMs, `${id}: persisted, and not in Postgres`);
  }
  return { persisted };
}

async function play(word: string): Promise<void> {
  let flush = new SteppedFlush();
  const step = async () => {
    if (flush.isDone) flush = new SteppedFlush();
    await flush.step();
  };
  for (const letter of word) {
    if (letter === 'f') await step();
    else if (letter === 'x') {
      await flush.crash();
      flush = new SteppedFlush();
    } else if (letter === 'c') await stack.redis.store.compact(PARTITION, 0);
    else await report(letter);
    if (letter === 'f' || letter === 'x') await assertHolds();
  }
  while (!flush.isDone) await step();
  flush = new SteppedFlush();
  while (!flush.isDone) await step();
  assert.equal((await assertHolds()).persisted, newest.size, 'in the end all are persisted');
  assert.equal((await statusOf(stack.redis.store, PARTITION)).dirtySinceMs, null);
  await stack.redis.store.compact(PARTITION, 0);
}

/** All ways to lay the letters of `updates`, in their order, between those of `steps`. */
function* shuffles(updates: string, steps: string): Generator<string> {
  if (updates === '' || steps === '') {
    yield updates + steps;
    return;
  }
  for (const rest of shuffles(updates.slice(1), steps)) yield updates[0] + rest;
  for (const rest of shuffles(updates, steps.slice(1))) yield steps[0] + rest;
}

function* words(): Generator<string> {
  const flush = 'f'.repeat(STEPS);
  const runs = [flush + flush, ...Array.from(flush, (_, died) => `${'f'.repeat(died + 1)}x${flush}`)];
  for (const run of runs) for (const updates of UPDATES) yield* shuffles(updates, run);
  yield* shuffles(COMPACTED, flush + flush);
}

test('whatever falls between the steps of a flush, persisted is true and nothing is left behind', async () => {
  const given = process.env.WHEREABOUTS_INTERLEAVING;
  const all = given === undefined ? [...new Set(words())] : [given];
  await report('a');
  await report('b');
  await play('');
  for (const word of all) {
    await play(word).catch((cause) => {
      throw new Error(`${cause.message}; replay it: WHEREABOUTS_INTERLEAVING=${word}`, { cause });
    });
  }
  console.log(`${all.length} orders`);
});

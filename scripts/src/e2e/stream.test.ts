// Streams of nearby drivers through a whole stack, second by second while drivers move: their events add up to what
// looking at every driver gives. Also while a Redis node dies, and after query-api was killed and every stream
// reconnected.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { NearbyReader } from '@whereabouts/infra/local/nearby-reader';
import { waitFor } from '@whereabouts/infra/local/server-process';
import { seededRandom } from '@whereabouts/infra/seeded-random';
import { readerHeaders } from '../drill/regions.js';
import { Dispatcher, type Question } from '../outside/dispatcher.js';
import { OwnStack } from '../stack/own-stack.js';
import { assertNearest, nearest } from '../testing/brute-force.js';
import { FleetSockets } from '../testing/fleet-sockets.js';
import { around, mapOf, type Place } from '../testing/places.js';

const SEED = 912;
const DRIVERS = 80;
const STEP_DEG = 0.01;
const CALM_S = 4;
const FAULT_S = 5;
/** A busy machine may be late; the drills judge the promises. */
const DEADLINE_MS = 30_000;
const WARSAW = { lat: 52.23, lon: 21.01 };
const REST = { services: 0, exclude: [] };
const QUESTIONS: Question[] = [
  { ...WARSAW, radius_m: 50_000, limit: 10, status: 'available', ...REST },
  { ...WARSAW, radius_m: 50_000, limit: 100, status: 'available', ...REST },
  { lat: 52.25, lon: 21.05, radius_m: 5_000, limit: 20, status: 'available', ...REST },
  { lat: 52.2, lon: 20.98, radius_m: 20_000, limit: 5, status: 'busy', ...REST },
];

const random = seededRandom(SEED);
const places = new Map<string, Place>();
let stack: OwnStack;
let fleet: FleetSockets;
let dispatcher: Dispatcher;
let readers: NearbyReader[] = [];

before(async () => {
  // No driver is refused while a region is dark.
  stack = await OwnStack.start(mapOf([WARSAW], 0.2, random), { HOLD_NACK_AFTER_MS: '9000' });
  fleet = new FleetSockets(stack.now);
  dispatcher = await Dispatcher.of(stack.now);
  for (let i = 0; i < DRIVERS; i++) places.set(`d-${i}`, around(WARSAW, 0.1, random));
  await fleet.connect(places.keys());
  drive();
  await fleet.untilVisible(dispatcher);
  const { authorization = '' } = await readerHeaders(stack.now);
  readers = QUESTIONS.map((question) => {
    const url = () => `${stack.now.query.url}/v1/drivers/nearby/stream?${queryOf(question)}`;
    return new NearbyReader({ url, authorization });
  });
});
after(async () => {
  await Promise.all(readers.map((reader) => reader.close()));
  await fleet?.close();
  await stack?.stop();
});

function queryOf({ lat, lon, radius_m, limit, status }: Question): string {
  return `lat=${lat}&lon=${lon}&radius_m=${radius_m}&limit=${limit}&status=${status}&min_move_m=0`;
}

/** Every driver reports from a little farther on; some become busy, or free again. */
function drive(): void {
  for (const [driverId, place] of places) {
    const next = around(place, STEP_DEG, random);
    places.set(driverId, next);
    const status = random.next() < 0.2 ? 'busy' : 'available';
    fleet.driver(driverId).send({ ...next, recorded_at_ms: Date.now(), status });
  }
}

/** For all drivers, by their acknowledgements; each stream in its order, with current places. */
function assertStreams(): void {
  for (const [i, question] of QUESTIONS.entries()) {
    const { view, ids, drivers, misfits } = readers[i] as NearbyReader;
    const expected = nearest(fleet.truth.newest.values(), question).map(({ known }) => known);
    assert.deepEqual([view?.complete, misfits], [true, []]);
    assert.deepEqual(
      ids,
      expected.map(({ driverId }) => driverId),
    );
    for (const { driverId, lat, lon, status } of expected) {
      const { lat: toldLat, lon: toldLon, status: toldStatus } = drivers.get(driverId) ?? {};
      assert.deepEqual([toldLat, toldLon, toldStatus], [lat, lon, status], driverId);
    }
  }
}

/** Each second they drive on, and are followed. Returns the longest time that it took. */
async function followed(seconds: number): Promise<number> {
  let longestMs = 0;
  for (let second = 0; second < seconds; second++) {
    const startedAtMs = performance.now();
    drive();
    await fleet.untilSettled();
    const settledAtMs = performance.now();
    await waitFor('the streams show what looking at everybody gives', DEADLINE_MS, () => {
      assertStreams();
      return true;
    });
    longestMs = Math.max(longestMs, performance.now() - settledAtMs);
    await new Promise((done) => setTimeout(done, Math.max(0, startedAtMs + 1_000 - performance.now())));
  }
  for (const question of QUESTIONS) {
    assertNearest(await dispatcher.wholeAnswer(question), fleet.truth.newest, question);
  }
  return Math.round(longestMs);
}

test(`streams: second by second as a look at everybody (seed ${SEED})`, async (t) => {
  t.diagnostic(`the longest took ${await followed(CALM_S)} ms`);
  for (const { snapshots, changes } of readers) {
    assert.equal(snapshots, 1);
    assert.ok(changes >= CALM_S - 1, `${changes} changes`);
  }
});

test('streams: a Redis node dies, and they go on', async (t) => {
  const before = readers.map(({ snapshots }) => snapshots);
  const { node } = (await dispatcher.get<{ partitions: { node: string }[] }>('/v1/partitions')).body
    .partitions[stack.map.partitionOf(WARSAW.lat, WARSAW.lon)] as { node: string };
  const victim = stack.now.redis.find(({ port }) => node.endsWith(`:${port}`));
  assert.ok(victim);
  process.kill(victim.pid, 'SIGKILL');
  t.diagnostic(`the longest took ${await followed(FAULT_S)} ms`);
  assert.deepEqual(
    readers.map(({ snapshots }) => snapshots),
    before,
  );
});

test('streams: query-api is killed, and everybody comes back with what it had last', async (t) => {
  const before = readers.map(({ snapshots }) => snapshots);
  const { pid } = stack.now.query;
  process.kill(pid, 'SIGKILL');
  await waitFor(
    'the streams are gone',
    DEADLINE_MS,
    () => readers.every(({ view }) => view === null) || undefined,
  );
  await waitFor('query-api answers again', DEADLINE_MS, async () => {
    // A driver that does not report soon stops being fresh.
    drive();
    await fleet.untilSettled();
    const { complete } = await dispatcher.nearby(QUESTIONS[0] as Question);
    return complete || undefined;
  });
  t.diagnostic(`the longest took ${await followed(FAULT_S)} ms`);
  for (const [i, { snapshots }] of readers.entries()) assert.ok(snapshots > (before[i] ?? 0));
});

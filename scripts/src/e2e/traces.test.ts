// Real buses through the whole stack: every delivery is settled, every question is answered as by looking at every
// driver, and Postgres ends up with the same.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { waitFor } from '@whereabouts/infra/local/server-process';
import { buildPartitionMap } from '@whereabouts/infra/partition-map';
import { seededRandom } from '@whereabouts/infra/seeded-random';
import { untilArchived } from '../outside/archive-rows.js';
import { Dispatcher, type Question } from '../outside/dispatcher.js';
import { OwnStack } from '../stack/own-stack.js';
import { assertNearest } from '../testing/brute-force.js';
import { BusReplay, driverFields, TraceTime } from '../testing/bus-replay.js';
import { FleetSockets } from '../testing/fleet-sockets.js';
import {
  type Anomaly,
  anomalies,
  arrivals,
  stops,
  tracesAreThere,
  unixMsOf,
  withoutTraces,
} from '../testing/warsaw.js';

const SEED = 20_240_219;
const SPEED = 60;
const FLUSH_INTERVAL_MS = 1_000;
const FRESHNESS_MS = 600_000;
const BATCHES = 18;
const POINTS = 100;
const SINGLE_QUESTIONS = 400;
const SETTINGS = {
  FLUSH_INTERVAL_MS: String(FLUSH_INTERVAL_MS),
  FRESHNESS_MS: String(FRESHNESS_MS),
  SWEEP_AFTER_MS: String(FRESHNESS_MS),
  // Refusals are what the test is about; lateness of a busy machine must not cause any.
  HOLD_NACK_AFTER_MS: '60000',
  // A bus has several a second at this speed; those of the anomalies' buses all come at once.
  MAX_REPORTS_PER_S: '1000',
};
const options = tracesAreThere ? {} : { skip: withoutTraces };
if (!tracesAreThere) console.log(`SKIPPED: ${withoutTraces}`);

let stack: OwnStack;
let fleet: FleetSockets;
let dispatcher: Dispatcher;
const random = seededRandom(SEED);

before(async () => {
  if (!tracesAreThere) return;
  const deliveries = [...arrivals().values()].flat();
  stack = await OwnStack.start(buildPartitionMap(deliveries), SETTINGS);
  fleet = new FleetSockets(stack.now);
  dispatcher = await Dispatcher.of(stack.now);
  const ids = [...deliveries, ...anomalies()].map(({ vehicleId }) => vehicleId);
  await fleet.connect(new Set(ids));
});
after(async () => {
  await fleet?.close();
  await stack?.stop();
});

test(
  'every delivery of the morning is acknowledged, or refused as the repeat that it is',
  options,
  async () => {
    const snapshots = arrivals();
    const first = Math.min(...[...snapshots.values()].flat().map(({ unixMs }) => unixMs));
    const time = new TraceTime(first, SPEED);
    const replay = new BusReplay(time, fleet, random);
    for (const deliveries of snapshots.values()) {
      await time.until(Math.max(...deliveries.map(({ unixMs }) => unixMs)));
      for (const delivery of deliveries) replay.deliver(delivery);
    }
    await fleet.untilSettled();
    const { truth } = fleet;
    console.log(
      `${replay.sent} deliveries, ${replay.repeats} repeats, ${truth.acknowledgements} acknowledged`,
    );
    assert.equal(replay.sent, 79_965);
    assert.ok(replay.repeats > 7_000);
    assert.deepEqual(Object.keys(fleet.refusals()), ['stale']);
    for (const driver of fleet.byId.values()) {
      const refused = driver.nacks.map(({ seq }) => seq);
      assert.deepEqual(
        refused,
        replay.staleSeqs.get(driver) ?? [],
        `${driver.driverId}: refused, and to be refused`,
      );
      assert.equal(driver.closeCode, null);
    }
  },
);

function expectedCodes({ rawLocalTime }: Anomaly, ageMs: number): string[] {
  if (unixMsOf(rawLocalTime) === null) return ['bad_message'];
  if (ageMs < -5_000) return ['clock_ahead'];
  // If a bus's newest position is known, the answer is that this one is older; else only that it is old.
  if (ageMs > FRESHNESS_MS) return ['too_old', 'stale'];
  return ['acknowledged', 'stale'];
}

/** As old, or as far ahead, as in the capture, relative to its first poll. */
const CAPTURE_MS = Date.parse('2024-02-19T15:40:15+01:00');

async function endsOf(all: readonly Anomaly[]): Promise<string[]> {
  const sent = all.map((anomaly) => {
    const { vehicleId, rawLocalTime, lat, lon } = anomaly;
    const driver = fleet.driver(vehicleId);
    const unixMs = unixMsOf(rawLocalTime);
    const recordedAt = unixMs === null ? rawLocalTime : Date.now() + unixMs - CAPTURE_MS;
    const seq = driver.sendRaw({ recorded_at_ms: recordedAt, lat, lon });
    return { anomaly, driver, seq, ageMs: CAPTURE_MS - (unixMs ?? 0) };
  });
  await fleet.untilSettled();
  return sent.map(({ anomaly, driver, seq, ageMs }) => {
    const end = driver.nackOf(seq)?.code ?? 'acknowledged';
    const expected = expectedCodes(anomaly, ageMs);
    assert.ok(expected.includes(end), `${JSON.stringify(anomaly)}: ${end}, not ${expected.join(' or ')}`);
    assert.equal(driver.closeCode, null, `${anomaly.vehicleId} was closed`);
    return end;
  });
}

test('every anomaly ends in a named refusal, or is stored', options, async () => {
  const ends: Record<string, number> = {};
  const before = fleet.truth.acknowledgements;
  for (const end of await endsOf(anomalies())) ends[end] = (ends[end] ?? 0) + 1;
  console.log('anomalies:', ends);
  const { acknowledged = 0, ...refused } = ends;
  assert.equal(
    Object.values(ends).reduce((sum, count) => sum + count, 0),
    641,
  );
  assert.equal(fleet.truth.acknowledgements - before, acknowledged);
  assert.equal(refused.bad_message, 4);
  assert.equal(refused.clock_ahead, 1);
});

function randomPoint(places: { lat: number; lon: number }[]): { lat: number; lon: number } {
  const buses = [...fleet.truth.newest.values()];
  const pick = <T>(list: readonly T[]): T => list[Math.floor(random.next() * list.length)] as T;
  if (random.chance(0.4)) return pick(places);
  if (random.chance(0.2)) return pick(buses.map(({ lat, lon }) => ({ lat, lon })));
  // Near, at the edge of the 50 km, and far beyond.
  const spread = pick([0.15, 0.6, 8]);
  return { lat: 52.23 + random.between(-spread, spread), lon: 21.01 + random.between(-spread, spread) };
}

function randomQuestion(places: { lat: number; lon: number }[]): Question {
  const ids = [...fleet.truth.newest.keys()];
  const pick = <T>(list: readonly T[]): T => list[Math.floor(random.next() * list.length)] as T;
  return {
    ...randomPoint(places),
    radius_m: Math.round(50 * 1_000 ** random.next() * 100) / 100,
    limit: pick([1, 3, 10, 40, 100]),
    status: random.chance(0.7) ? 'available' : 'busy',
    services: pick([0, 0, 1, 6, 15]),
    exclude: Array.from({ length: pick([0, 0, 3]) }, () => pick(ids)),
  };
}

async function askOneByOne(questions: readonly Question[]): Promise<void> {
  const left = [...questions];
  const work = async () => {
    for (let question = left.pop(); question; question = left.pop()) {
      assertNearest(await dispatcher.wholeAnswer(question), fleet.truth.newest, question);
    }
  };
  await Promise.all(Array.from({ length: 8 }, work));
}

test(`2,200 random questions are answered as by looking at every bus (seed ${SEED})`, options, async () => {
  const places = stops();
  await fleet.untilVisible(dispatcher);
  let told = 0;
  for (let batch = 0; batch < BATCHES; batch++) {
    const questions = Array.from({ length: POINTS }, () => randomQuestion(places));
    const answers = await dispatcher.batch(questions);
    for (const [i, question] of questions.entries()) {
      const answer = await dispatcher.wholeAnswer(question, answers[i]);
      assertNearest(answer, fleet.truth.newest, question);
      told += answer.drivers.length;
    }
  }
  await askOneByOne(Array.from({ length: SINGLE_QUESTIONS }, () => randomQuestion(places)));
  console.log(`${told} buses told in ${BATCHES * POINTS} answers; ${dispatcher.askedAgain} asked again`);
  assert.ok(told > 10_000, 'the questions find somebody');
});

/** Every bus moves once more, so that everything is dirty. */
async function moveAll(): Promise<void> {
  for (const driverId of fleet.truth.newest.keys()) {
    const place = { lat: random.between(52.1, 52.3), lon: random.between(20.9, 21.1) };
    fleet.driver(driverId).send({ recorded_at_ms: Date.now(), ...place, ...driverFields(random) });
  }
  await fleet.untilSettled();
}

test('after two flush intervals Postgres has the newest of every bus, row by row', options, async () => {
  const { url } = stack.now.postgres;
  const { truth } = fleet;
  assert.ok(truth.newest.size > 1_500);
  const deadlineMs = 2 * FLUSH_INTERVAL_MS + 5_000;
  await untilArchived(url, truth, stack.map, deadlineMs);
  await moveAll();
  const tookMs = await untilArchived(url, truth, stack.map, deadlineMs);
  console.log(`${truth.newest.size} rows are right ${Math.round(tookMs)} ms after everybody moved`);
});

test('then every answer says that it is persisted', options, async () => {
  const question = { lat: 52.2, lon: 21, radius_m: 50_000, limit: 100 };
  await waitFor('all are persisted', 30_000, async () => {
    const { drivers } = await dispatcher.nearby(question);
    assert.equal(drivers.length, 100);
    return drivers.every(({ persisted }) => persisted) || undefined;
  });
});

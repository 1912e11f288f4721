// Drivers who cross borders as often as they report, in front of two ingest processes, while a reader polls without a
// pause: no reporting driver is ever missing or listed twice, and none goes back in time.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { waitFor } from '@whereabouts/infra/local/server-process';
import { seededRandom } from '@whereabouts/infra/seeded-random';
import { untilArchived } from '../outside/archive-rows.js';
import { type Answer, Dispatcher, type Question } from '../outside/dispatcher.js';
import { OwnStack } from '../stack/own-stack.js';
import { parseMetrics, total } from '../stack/scrape.js';
import { assertSame } from '../testing/brute-force.js';
import { FleetSockets } from '../testing/fleet-sockets.js';
import { acrossBorders, around, mapOf, type Place } from '../testing/places.js';

const SEED = 811;
const DRIVERS = 60;
const REPORT_EVERY_MS = 200;
/** For this long, and on a busy machine until there have been enough looks. */
const CROSSING_MS = 15_000;
const AT_MOST_MS = 90_000;
const ENOUGH_ANSWERS = 200;
const LOOKERS = 3;
const FRESHNESS_MS = 10_000;
const WARSAW = { lat: 52.23, lon: 21.01 };
/** In one place at a time, as soon as the crossing is visible. */
const SEEN_MS = 5_000;
/** How often acknowledgements are noted, and for how long. */
const NOTE_EVERY_MS = 20;
const NOTED = 500;
/** The clocks of store and test, and the time between an acknowledgement and its note. */
const VIEW_SLACK_MS = 150;
/** What was acknowledged this long ago must be in an answer. */
const VISIBLE_MS = 2_000;
const EVERYBODY: Partial<Question> = { ...WARSAW, radius_m: 50_000, limit: 100 };

let stack: OwnStack;
let fleet: FleetSockets;
let dispatcher: Dispatcher;
const random = seededRandom(SEED);
const tours = new Map<string, Place[]>();

before(async () => {
  const map = mapOf([WARSAW], 0.2, random);
  stack = await OwnStack.start(map, {
    INGEST_PROCESSES: '2',
    FLUSH_INTERVAL_MS: '1000',
    HOLD_NACK_AFTER_MS: '9000', // nobody is refused because the machine is busy
    // They send five a second; what a busy machine delays arrives at once.
    MAX_REPORTS_PER_S: '50',
  });
  fleet = new FleetSockets(stack.now);
  dispatcher = await Dispatcher.of(stack.now);
  for (let i = 0; i < DRIVERS; i++) {
    const home = around(WARSAW, 0.15, random);
    tours.set(`crosser-${i}`, acrossBorders(map, home, 2 + (i % 3), random));
  }
  await fleet.connect(tours.keys());
});
after(async () => {
  await fleet?.close();
  await stack?.stop();
});

/** Each driver reports at its own moment, until the end of the test's crossing. */
class Crossing {
  crossings = 0;
  readonly #timers: NodeJS.Timeout[] = [];

  start(): void {
    for (const [driverId, tour] of tours) {
      const report = this.#reporter(driverId, tour);
      const begin = () => {
        report();
        this.#timers.push(setInterval(report, REPORT_EVERY_MS));
      };
      this.#timers.push(setTimeout(begin, random.between(0, REPORT_EVERY_MS)));
    }
  }

  stop(): void {
    for (const timer of this.#timers) clearInterval(timer);
  }

  #reporter(driverId: string, tour: readonly Place[]): () => void {
    let at = 0;
    let lastMs = 0;
    return () => {
      lastMs = Math.max(Date.now(), lastMs + 1);
      fleet.driver(driverId).send({ recorded_at_ms: lastMs, ...(tour[at++ % tour.length] as Place) });
      this.crossings++;
    };
  }
}

type Acknowledged = ReadonlyMap<string, number>;

const acknowledgedNow = (): Acknowledged =>
  new Map([...fleet.truth.newest.values()].map((known) => [known.driverId, known.recordedAtMs]));

/** What had been acknowledged when: an answer states the age of its view, and may show nothing older than that. */
class Acknowledgements {
  readonly #noted: { atMs: number; by: Acknowledged }[] = [
    { atMs: performance.now(), by: acknowledgedNow() },
  ];
  readonly #timer = setInterval(() => {
    this.#noted.push({ atMs: performance.now(), by: acknowledgedNow() });
    if (this.#noted.length > NOTED) this.#noted.shift();
  }, NOTE_EVERY_MS);

  /**
   * The oldest state that an answer with a view of that time may show: nothing is known of the time before the first
   * note.
   */
  asOf(atMs: number): Acknowledged {
    return this.#noted.findLast((noted) => noted.atMs <= atMs)?.by ?? new Map();
  }

  stop(): void {
    clearInterval(this.#timer);
  }
}

function assertEverybodyOnce(answer: Answer, before: Acknowledged): void {
  const ids = answer.drivers.map(({ driver_id }) => driver_id);
  const twice = ids.filter((id, i) => ids.indexOf(id) !== i);
  assert.deepEqual(twice, [], 'twice in an answer');
  const missing = [...before.keys()].filter((id) => !ids.includes(id));
  assert.deepEqual(missing, [], 'missing in an answer');
  for (const { driver_id, recorded_at } of answer.drivers) {
    const behindMs = (before.get(driver_id) ?? 0) - Date.parse(recorded_at);
    assert.ok(
      behindMs <= 0,
      `${driver_id} is ${behindMs} ms older than the view of ${answer.view_age_ms} ms allows`,
    );
  }
}

async function assertThere(driverId: string, noted: Acknowledgements): Promise<void> {
  const acknowledgedMs = noted.asOf(performance.now() - VISIBLE_MS).get(driverId) ?? 0;
  const { status, body } = await dispatcher.byId(driverId);
  assert.equal(status, 200, `${driverId}: ${JSON.stringify(body)}`);
  assert.ok(Date.parse(body.recorded_at) >= acknowledgedMs, `${driverId} by id is back in time`);
}

test(`at no moment is anybody missing, twice or back in time (seed ${SEED})`, async () => {
  const crossing = new Crossing();
  crossing.start();
  await waitFor('everybody has reported', 30_000, () => fleet.truth.newest.size === DRIVERS || undefined);
  await waitFor('everybody is listed', 30_000, async () => {
    return (await dispatcher.nearby(EVERYBODY)).drivers.length === DRIVERS || undefined;
  });
  const noted = new Acknowledgements();
  const counts = { complete: 0, incomplete: 0, byId: 0 };
  const since = performance.now();
  const elapsedMs = () => performance.now() - since;
  const isEnough = () => counts.complete >= ENOUGH_ANSWERS && counts.byId >= ENOUGH_ANSWERS / 2;
  const goesOn = () => elapsedMs() < (isEnough() ? CROSSING_MS : AT_MOST_MS);
  const look = async () => {
    while (goesOn()) {
      const askedAtMs = performance.now();
      const answer = await dispatcher.nearby(EVERYBODY);
      assertEverybodyOnce(answer, noted.asOf(askedAtMs - answer.view_age_ms - VIEW_SLACK_MS));
      counts[answer.complete ? 'complete' : 'incomplete']++;
    }
  };
  const lookFor = async () => {
    while (goesOn()) {
      await assertThere(`crosser-${Math.floor(random.between(0, DRIVERS))}`, noted);
      counts.byId++;
    }
  };
  try {
    await Promise.all([...Array.from({ length: LOOKERS }, look), lookFor()]);
  } finally {
    crossing.stop();
    noted.stop();
  }
  console.log(`${crossing.crossings} crossings in ${Math.round(elapsedMs())} ms,`, counts);
  assert.ok(isEnough(), 'somebody did look');
  assert.ok(crossing.crossings >= 0.5 * DRIVERS * (elapsedMs() / REPORT_EVERY_MS), 'they did report');
  assert.ok(counts.incomplete <= counts.complete / 4, 'answers are complete while nothing is broken');
});

test('afterwards each is where its last acknowledged report says, in Postgres too', async () => {
  await fleet.untilVisible(dispatcher);
  assert.deepEqual(fleet.refusals(), {});
  for (const known of fleet.truth.newest.values()) {
    const { body } = await dispatcher.byId(known.driverId);
    assertSame(body, known);
  }
  await untilArchived(stack.now.postgres.url, fleet.truth, stack.map, 10_000);
});

test('both ingest processes had their drivers, and /metrics counts them together', async () => {
  const { ops } = stack.now.ingest;
  const ready = await (await fetch(`${ops}/readyz?verbose`)).text();
  const connections = [...ready.matchAll(/"name":"process \d: connections","ok":true,"detail":"(\d+) of/g)];
  const counts = connections.map(([, count]) => Number(count));
  console.log('connections of each process:', counts);
  assert.equal(counts.length, 2);
  assert.ok(
    counts.every((count) => count > 0),
    'one of them has no driver',
  );
  const samples = parseMetrics(await (await fetch(`${ops}/metrics`)).text());
  assert.equal(total(samples, 'whereabouts_ingest_connections'), DRIVERS);
  const acknowledged = total(samples, 'whereabouts_ingest_reports_total') ?? 0;
  assert.ok(
    acknowledged >= fleet.truth.acknowledgements,
    `${acknowledged} of ${fleet.truth.acknowledgements}`,
  );
});

test('who stops reporting leaves the answers at the freshness limit, and is found by id all the same', async () => {
  await waitFor('nobody is fresh', 30_000, async () => {
    const { drivers } = await dispatcher.nearby(EVERYBODY);
    for (const { age_ms } of drivers) assert.ok(age_ms <= FRESHNESS_MS, `${age_ms} ms old`);
    return drivers.length === 0 || undefined;
  });
  for (const { recordedAtMs } of fleet.truth.newest.values()) {
    assert.ok(Date.now() - recordedAtMs >= FRESHNESS_MS, 'gone before its time');
  }
  const { status, body } = await dispatcher.byId('crosser-0');
  assert.equal(status, 200);
  assert.ok(body.age_ms >= FRESHNESS_MS);
});

/** Drivers that are listed as free there. */
async function freeAt(place: Place): Promise<string[]> {
  const { drivers } = await dispatcher.wholeAnswer({ ...place, radius_m: 100, limit: 100 });
  return drivers.map(({ driver_id }) => driver_id);
}

/** Well before the freshness limit would end it. */
async function untilNobodyIsFreeAt(place: Place): Promise<void> {
  await waitFor(
    'nobody is told as free',
    SEEN_MS,
    async () => (await freeAt(place)).length === 0 || undefined,
  );
}

/** Reports as free here, then as busy beyond the border. */
async function crossBusy(driverId: string, tour: readonly Place[], reconnects: boolean): Promise<void> {
  const [here, beyond] = tour as [Place, Place];
  (await fleet.connectOne(driverId)).send({ recorded_at_ms: Date.now(), ...here });
  await fleet.untilSettled();
  if (reconnects) {
    await fleet.driver(driverId).drop();
    await fleet.connectOne(driverId);
  }
  fleet.driver(driverId).send({ recorded_at_ms: Date.now() + 1, ...beyond, status: 'busy' });
  await fleet.untilSettled();
}

test('who is busy beyond the border is not told as free before it', async () => {
  const tour = acrossBorders(stack.map, around(WARSAW, 0.15, random), 2, random);
  await crossBusy('busy-beyond', tour, false);
  await untilNobodyIsFreeAt(tour[0] as Place);
});

test('nor where another ingest process saw the crossing', async () => {
  const tour = acrossBorders(stack.map, around(WARSAW, 0.15, random), 2, random);
  const ids = Array.from({ length: 8 }, (_, i) => `wanderer-${i}`);
  for (const id of ids) await crossBusy(id, tour, true);
  await untilNobodyIsFreeAt(tour[0] as Place);
});

// The cost of a nearest-drivers question: CPU of query-api and the Redis masters for each question over HTTP, over
// Tile38's NEARBY and a plain GEOSEARCH for the same questions about the same fleet; the cost of the search alone; and
// how both grow with the fleet.
import { median } from '@whereabouts/scripts/median';
import {
  alternate,
  type Bench,
  type BenchContext,
  type BenchOutcome,
  type Figure,
  type Goal,
  type Table,
} from './bench.js';
import type { Place } from './load/places.js';
import type { IndexReport } from './search/index-worker.js';
import { measureIndex } from './search/measured-index.js';
import { City, FLEET_SEED, MASTERS, QUESTION_SEED, questionsAbout, type Side } from './stores/city.js';
import { type LoopCost, measureLoop } from './stores/closed-loop.js';
import { plainSides, tile38Sides } from './stores/compared.js';
import { startTile38, type Tile38, tile38Note } from './stores/tile38.js';

const DEFAULTS = { drivers: 100_000, seconds: 4, rounds: 3 };
const LARGE_FLEET = 1_000_000;
const QUESTION = { radiusM: 5000, limit: 10 };
const CONCURRENCY = 4;
const WARM_UP_S = 1.5;
/** Half of the fleet within 3.5 km of the middle, as in a centre at its busiest. */
const DENSE_SIGMA_KM = 3;
const MAX_READY_S = 10;

interface Asked {
  drivers: number;
  seconds: number;
  rounds: number;
}

interface Measured extends LoopCost {
  /** In an answer, on average. */
  drivers: number;
}

const NAMES = {
  query: 'query-api over HTTP',
  tile38: 'Tile38 NEARBY over RESP',
  tile38Available: 'Tile38 NEARBY ... WHERE available over RESP',
  tile38Http: 'Tile38 NEARBY over HTTP',
  plain: 'plain GEOSEARCH, one set of all',
  plainAvailable: 'plain GEOSEARCH, one set of the available',
};
type SideName = keyof typeof NAMES;
type Sides = Partial<Record<SideName, Measured[]>>;

/** The sides in alternation, each with the same questions. */
async function measureSides(
  sides: Partial<Record<SideName, Side>>,
  questions: readonly Place[],
  { seconds, rounds }: Asked,
): Promise<Sides> {
  const measured: Sides = {};
  const runs = Object.entries<Side>(sides).map(([name, { pids, ask }]) => {
    const ofThis: Measured[] = [];
    measured[name as SideName] = ofThis;
    const run = async () => {
      let asked = 0;
      let drivers = 0;
      const call = async (number: number) => {
        const found = await ask(questions[number % questions.length] as Place);
        drivers += found;
        asked++;
        return 1;
      };
      const cost = await measureLoop({ pids, concurrency: CONCURRENCY, warmUpS: WARM_UP_S, seconds, call });
      ofThis.push({ ...cost, drivers: drivers / asked });
    };
    return [name, run] as const;
  });
  await alternate(rounds, Object.fromEntries(runs));
  return measured;
}

interface FleetMeasured {
  sides: Sides;
  readyS: number;
  notes: string[];
}

async function measureFleet(
  asked: Asked,
  say: BenchContext['say'],
  sigmaKm?: number,
): Promise<FleetMeasured> {
  const city = await City.start(asked.drivers, sigmaKm);
  let tile38: Tile38 | null = null;
  try {
    tile38 = await startTile38(say);
    say('nearest: loading what is compared');
    const sides = {
      query: city.querySide(QUESTION),
      ...(tile38 ? await tile38Sides(tile38, city.fleet, QUESTION) : {}),
      ...(await plainSides(city.own, city.fleet, QUESTION)),
    };
    say(`nearest: ${Object.keys(sides).length} sides, ${asked.rounds} rounds`);
    return {
      sides: await measureSides(sides, questionsAbout(city.places), asked),
      readyS: city.query.readyMs / 1000,
      notes: tile38Note(tile38),
    };
  } finally {
    await tile38?.stop();
    await city.stop();
  }
}

/** query-api alone: the fleet is too large to load it into everything else. */
async function measureLarge(asked: Asked): Promise<{ query: Measured[]; readyS: number }> {
  const city = await City.start(LARGE_FLEET);
  try {
    const sides = { query: city.querySide(QUESTION) };
    const { query = [] } = await measureSides(sides, questionsAbout(city.places), asked);
    return { query, readyS: city.query.readyMs / 1000 };
  } finally {
    await city.stop();
  }
}

type SearchName = 'fleet' | 'large' | 'dense';
type Searches = Record<SearchName, IndexReport[]>;

async function measureSearch({ drivers, seconds, rounds }: Asked): Promise<Searches> {
  const measured: Searches = { fleet: [], large: [], dense: [] };
  const side = (name: SearchName, count: number, sigmaKm?: number) => async () => {
    measured[name].push(await measureIndex({ drivers: count, sigmaKm, seconds, ...QUESTION }));
  };
  await alternate(rounds, {
    fleet: side('fleet', drivers),
    large: side('large', LARGE_FLEET),
    dense: side('dense', drivers, DENSE_SIGMA_KM),
  });
  return measured;
}

const HTTP_CPU = 'CPU of query-api and masters for each nearest-10 question over HTTP';
const serverUs = (measured: readonly Measured[] = []) => measured.map((one) => one.serverUs);
const findUs = (measured: readonly IndexReport[]) => measured.map((one) => one.findUs);

function httpFigures(what: string, sides: Sides, goal: Goal | null): Figure[] {
  const over = (name: SideName, of: Goal | null): Figure[] => {
    const measured = sides[name];
    if (measured === undefined) return [];
    const baseline = { name: NAMES[name], measured: serverUs(measured) };
    const figure = { name: `${what}, over ${NAMES[name]}`, unit: 'us', measured: serverUs(sides.query) };
    return [{ ...figure, baseline, goal: of }];
  };
  return [
    ...over('tile38', goal),
    ...over('tile38Available', null),
    ...over('tile38Http', null),
    ...over('plain', null),
    ...over('plainAvailable', null),
  ];
}

function searchFigures({ fleet, large, dense }: Searches, drivers: number): Figure[] {
  const of = drivers.toLocaleString('en');
  const name = `The search by itself, in an index of ${of} drivers`;
  const unit = 'us';
  return [
    { name, unit, measured: findUs(fleet), baseline: null, goal: { atMost: 15 } },
    {
      name: `The search by itself, in an index of ${LARGE_FLEET.toLocaleString('en')} drivers`,
      unit,
      measured: findUs(large),
      baseline: { name: of, measured: findUs(fleet) },
      goal: { atMost: 2 },
    },
    { name: `${name} in a dense city`, unit, measured: findUs(dense), baseline: null, goal: null },
    {
      name: 'To take a record into an empty index',
      unit,
      measured: fleet.map(({ takeUs }) => takeUs),
      baseline: null,
      goal: null,
    },
  ];
}

function tableOf(title: string, sides: Sides): Table {
  const rows = (Object.keys(NAMES) as SideName[]).map((name) => {
    const measured = sides[name];
    if (!measured) return [NAMES[name], ...Array<string>(5).fill('skipped')];
    const of = (part: keyof Measured) => Number(median(measured.map((one) => one[part])).toPrecision(3));
    return [NAMES[name], of('serverUs'), of('clientUs'), of('p50Ms'), of('p99Ms'), of('drivers')];
  });
  return { title, heads: ['side', 'server us', 'client us', 'p50 ms', 'p99 ms', 'drivers'], rows };
}

async function run(context: BenchContext): Promise<BenchOutcome> {
  const asked = {
    drivers: context.drivers ?? DEFAULTS.drivers,
    seconds: context.seconds ?? DEFAULTS.seconds,
    rounds: context.rounds ?? DEFAULTS.rounds,
  };
  context.say('nearest: the search by itself');
  const searches = await measureSearch(asked);
  const { sides, notes } = await measureFleet(asked, context.say);
  context.say('nearest: a dense city');
  const dense = await measureFleet(asked, context.say, DENSE_SIGMA_KM);
  context.say(`nearest: ${LARGE_FLEET.toLocaleString('en')} drivers`);
  const large = await measureLarge(asked);
  const { drivers, seconds, rounds } = asked;
  const count = LARGE_FLEET.toLocaleString('en');
  const alone = { unit: '', baseline: null, goal: null };
  return {
    workload: `The nearest ${QUESTION.limit} available within ${QUESTION.radiusM / 1000} km, at the places of random drivers (seed ${QUESTION_SEED}), of ${drivers.toLocaleString('en')} drivers of one city (seed ${FLEET_SEED}), half of them available, in 64 partitions on ${MASTERS} masters; ${CONCURRENCY} questions at once, ${seconds} s after ${WARM_UP_S} s to warm up, ${rounds} rounds`,
    figures: [
      ...httpFigures(HTTP_CPU, sides, { atMost: 0.5 }),
      ...httpFigures(`${HTTP_CPU}, in a dense city`, dense.sides, null),
      {
        ...alone,
        name: `${HTTP_CPU}, of ${count} drivers`,
        unit: 'us',
        measured: serverUs(large.query),
        baseline: { name: drivers.toLocaleString('en'), measured: serverUs(sides.query) },
      },
      ...searchFigures(searches, drivers),
      {
        ...alone,
        name: `query-api, from its start until it is ready: ${count} drivers`,
        unit: 's',
        measured: [large.readyS],
        goal: { atMost: MAX_READY_S },
      },
      {
        ...alone,
        name: 'p99 of query-api over HTTP, on the cores that all of this shares',
        unit: 'ms',
        measured: (sides.query ?? []).map(({ p99Ms }) => p99Ms),
      },
    ],
    tables: [
      tableOf('CPU for each question, time, and drivers in an answer', sides),
      tableOf('The same in a dense city', dense.sides),
    ],
    notes: [
      'The CPU of query-api and the masters is all that they use meanwhile: following the (silent) map, HTTP, JSON and the token of each request are in it.',
      'Tile38 and the plain sets are asked by one process over one connection that stays open, but for Tile38 over HTTP, which closes it after each answer.',
      'Tile38 and the plain set of all find busy drivers too; the sides that find only available ones are shown beside them.',
      `The search by itself: query-api's own code in a separate process. Drivers are spread around the middle with a deviation of 8 km; in the dense city of ${DENSE_SIGMA_KM} km.`,
      ...notes,
    ],
    costs: {
      query_api_us_per_nearest: median(serverUs(sides.query)),
      query_api_us_per_search: median(findUs(searches.fleet)),
    },
  };
}

export const NEAREST: Bench = {
  about: 'CPU and time of each nearest-10 question, over Tile38 and over a plain GEOSEARCH',
  run,
};

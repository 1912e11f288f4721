// What "who is nearest?" costs the store: CPU of the Redis masters for each question, over Tile38's NEARBY and a plain
// GEOSEARCH for the same questions about the same fleet; how that grows with the fleet; and how long it takes.

import {
  alternate,
  type Bench,
  type BenchContext,
  type BenchOutcome,
  type Figure,
  type Goal,
  median,
} from './bench.js';
import type { Place } from './load/places.js';
import { City, FLEET_SEED, MASTERS, QUESTION_SEED, type Side } from './stores/city.js';
import { type LoopCost, measureLoop } from './stores/closed-loop.js';
import { plainSides, tile38Sides } from './stores/compared.js';
import { startTile38, type Tile38, tile38Note } from './stores/tile38.js';

const DEFAULTS = { drivers: 100_000, seconds: 4, rounds: 3 };
const SMALL_FLEET = 10_000;
const LARGE_FLEET = 1_000_000;
const QUESTION = { radiusM: 5000, limit: 10 };
const CONCURRENCY = 4;
const WARM_UP_S = 1.5;
/** Half of the fleet within 3.5 km of the middle, as in a centre at its busiest. */
const DENSE_SIGMA_KM = 3;

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
  search: "the store's calls",
  query: 'the same, asked by query-api over HTTP',
  tile38: 'Tile38 NEARBY',
  tile38Available: 'Tile38 NEARBY ... WHERE available',
  plain: 'plain GEOSEARCH, one set of all',
  plainAvailable: 'plain GEOSEARCH, one set of the available',
};
type SideName = keyof typeof NAMES;
type Sides<Name extends string> = Record<Name, Measured[]>;
type FleetSides = Sides<Exclude<SideName, `tile38${string}`>> &
  Partial<Sides<Extract<SideName, `tile38${string}`>>>;

/** The sides in alternation, each with the same questions. */
async function measureSides<Name extends string>(
  sides: Record<Name, Side>,
  questions: readonly Place[],
  { seconds, rounds }: Asked,
): Promise<Sides<Name>> {
  const measured = new Map<string, Measured[]>();
  const runs = Object.entries<Side>(sides).map(([name, { pids, ask }]) => {
    const ofThis: Measured[] = [];
    measured.set(name, ofThis);
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
  return Object.fromEntries(measured) as Sides<Name>;
}

async function measureFleet(asked: Asked, say: BenchContext['say']) {
  const city = await City.start(asked.drivers);
  let tile38: Tile38 | null = null;
  try {
    tile38 = await startTile38(say);
    say('nearest: loading what is compared');
    const search = city.searchSide(QUESTION);
    const sides = {
      search,
      query: city.querySide(QUESTION),
      ...(tile38 ? await tile38Sides(tile38, city.fleet, QUESTION) : {}),
      ...(await plainSides(city.own, city.fleet, QUESTION)),
    };
    say(`nearest: ${Object.keys(sides).length} sides, ${asked.rounds} rounds`);
    const measured: FleetSides = await measureSides(
      sides as Record<keyof typeof sides, Side>,
      city.questions(),
      asked,
    );
    return { measured, asks: search.asks(), notes: tile38Note(tile38) };
  } finally {
    await tile38?.stop();
    await city.stop();
  }
}

async function measureGrowth(asked: Asked) {
  const small = await City.start(SMALL_FLEET);
  try {
    const large = await City.start(LARGE_FLEET);
    try {
      const sides = {
        small: small.searchSide(QUESTION),
        large: large.searchSide(QUESTION),
        smallQuery: small.querySide(QUESTION),
        largeQuery: large.querySide(QUESTION),
      };
      return await measureSides(sides, small.questions(), asked);
    } finally {
      await large.stop();
    }
  } finally {
    await small.stop();
  }
}

async function measureDense(asked: Asked) {
  const city = await City.start(asked.drivers, DENSE_SIGMA_KM);
  try {
    const plain = await plainSides(city.own, city.fleet, QUESTION);
    return await measureSides({ search: city.searchSide(QUESTION), ...plain }, city.questions(), asked);
  } finally {
    await city.stop();
  }
}

const NEAREST_CPU = 'CPU of the masters for each nearest-10 question';
const serverUs = (measured: readonly Measured[]) => measured.map((one) => one.serverUs);
const p99Ms = (measured: readonly Measured[]) => measured.map((one) => one.p99Ms);

function cpuFigure(
  name: string,
  measured: readonly Measured[],
  baseline: { name: string; measured: readonly Measured[] },
  goal: Goal | null,
): Figure {
  const { name: baselineName, measured: ofBaseline } = baseline;
  const figure = { name, unit: 'us', measured: serverUs(measured), goal };
  return { ...figure, baseline: { name: baselineName, measured: serverUs(ofBaseline) } };
}

function fleetFigures(sides: FleetSides): Figure[] {
  const { search, query, tile38 } = sides;
  const over = (name: SideName, goal: Goal | null) => {
    const measured = sides[name];
    const baseline = { name: NAMES[name], measured: measured ?? [] };
    return measured ? [cpuFigure(`${NEAREST_CPU}, over ${NAMES[name]}`, search, baseline, goal)] : [];
  };
  return [
    ...over('tile38', { atMost: 0.5 }),
    ...over('tile38Available', null),
    ...over('plain', { atMost: 1 / 75 }),
    ...over('plainAvailable', null),
    {
      name: "p99 of the store's calls of a question",
      unit: 'ms',
      measured: p99Ms(search),
      baseline: tile38 ? { name: NAMES.tile38, measured: p99Ms(tile38) } : null,
      goal: tile38 ? { atMost: 1 } : null,
    },
    {
      name: 'p99 of query-api over HTTP, on the cores that all of this shares',
      unit: 'ms',
      measured: p99Ms(query),
      baseline: null,
      goal: null,
    },
  ];
}

function growthFigures(growth: Awaited<ReturnType<typeof measureGrowth>>): Figure[] {
  const { small, large, smallQuery, largeQuery } = growth;
  const name = `${NEAREST_CPU} of ${LARGE_FLEET.toLocaleString('en')} drivers`;
  const smallName = `of ${SMALL_FLEET.toLocaleString('en')}`;
  return [
    cpuFigure(name, large, { name: smallName, measured: small }, { atMost: 1.5 }),
    cpuFigure(`${name}, asked by query-api`, largeQuery, { name: smallName, measured: smallQuery }, null),
  ];
}

function denseFigures(dense: Awaited<ReturnType<typeof measureDense>>): Figure[] {
  const { search, plain, plainAvailable } = dense;
  const name = `${NEAREST_CPU} in a dense city`;
  return [
    cpuFigure(`${name}, over ${NAMES.plain}`, search, { name: NAMES.plain, measured: plain }, null),
    cpuFigure(
      `${name}, over ${NAMES.plainAvailable}`,
      search,
      { name: NAMES.plainAvailable, measured: plainAvailable },
      null,
    ),
  ];
}

function rowsOf(sides: FleetSides): (string | number)[][] {
  return (Object.keys(NAMES) as SideName[]).map((name) => {
    const measured = sides[name];
    if (!measured) return [NAMES[name], ...Array<string>(5).fill('skipped')];
    const of = (part: keyof Measured) => Number(median(measured.map((one) => one[part])).toPrecision(3));
    return [NAMES[name], of('serverUs'), of('clientUs'), of('p50Ms'), of('p99Ms'), of('drivers')];
  });
}

async function run(context: BenchContext): Promise<BenchOutcome> {
  const asked = {
    drivers: context.drivers ?? DEFAULTS.drivers,
    seconds: context.seconds ?? DEFAULTS.seconds,
    rounds: context.rounds ?? DEFAULTS.rounds,
  };
  const { measured, asks, notes } = await measureFleet(asked, context.say);
  context.say('nearest: a small and a large fleet');
  const growth = await measureGrowth(asked);
  context.say('nearest: a dense city');
  const dense = await measureDense(asked);
  const { drivers, seconds, rounds } = asked;
  return {
    workload: `The nearest ${QUESTION.limit} available within ${QUESTION.radiusM / 1000} km, at the places of random drivers (seed ${QUESTION_SEED}), of ${drivers.toLocaleString('en')} drivers of one city (seed ${FLEET_SEED}), half of them available, in 64 partitions on ${MASTERS} masters; ${CONCURRENCY} questions at once, ${seconds} s after ${WARM_UP_S} s to warm up, ${rounds} rounds`,
    figures: [...fleetFigures(measured), ...growthFigures(growth), ...denseFigures(dense)],
    tables: [
      {
        title: 'CPU for each question, time, and drivers in an answer',
        heads: ['side', 'server us', 'client us', 'p50 ms', 'p99 ms', 'drivers'],
        rows: rowsOf(measured),
      },
    ],
    notes: [
      `"${NAMES.search}" are those that query-api makes for the same question: ${asks.toFixed(2)} partitions for each, in at most two rounds, with freshness and status, from one process by the same client class over ioredis as Tile38's. What idle nodes and the touch of each partition every 2 s cost is in it.`,
      'The real query-api is told beside it: its calls reach Redis one by one and share the cores with two more processes, which the comparisons do not.',
      'Tile38 and the plain set of all find busy drivers too; the sides that find the available ones alone are told beside them.',
      `Drivers are spread around the middle with a deviation of 8 km; in the dense city of ${DENSE_SIGMA_KM} km.`,
      ...notes,
    ],
    costs: {
      redis_us_per_nearest: median(serverUs(measured.query)),
      redis_us_per_nearest_store_calls_alone: median(serverUs(measured.search)),
      redis_us_per_nearest_of_1000000_drivers: median(serverUs(growth.largeQuery)),
    },
  };
}

export const NEAREST: Bench = {
  about: 'CPU and time of the store for each nearest-10 question, over Tile38 and over a plain GEOSEARCH',
  run,
};

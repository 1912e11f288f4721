// The cost of streams of nearby drivers for query-api while the fleet drives, over the same questions polled twice a
// second; and the age of a position when the event with it arrives. The cost of following the fleet without questions
// is measured in alternation, and subtracted from both.

import { median } from '@whereabouts/scripts/median';
import { parseMetrics, total } from '@whereabouts/scripts/stack/scrape';
import { alternate, type Bench, type BenchContext, type BenchOutcome } from './bench.js';
import { StreamLoad } from './load/stream-load.js';
import { sleep } from './measured-load.js';
import { cpuS } from './process-cpu.js';
import { City, FLEET_SEED, MASTERS, QUESTION_SEED, questionsAbout } from './stores/city.js';
import { closedLoop, quantile } from './stores/closed-loop.js';
import { MovingFleet } from './stores/moving-fleet.js';

const DEFAULTS = { drivers: 20_000, seconds: 10, rounds: 3 };
const STREAMS = 5_000;
const LOAD_PROCESSES = 2;
const REPORT_EVERY_MS = 2_000;
const QUESTION = { radiusM: 5_000, limit: 10 };
const POLLED_EACH_S = 2;
const POLLED_AT_ONCE = 8;
const WARM_UP_S = 3;
const OPEN_DEADLINE_MS = 180_000;
const MAX_SHARE_OF_POLLING = 0.2;
const MAX_DELAY_P99_MS = 1_000;
/** Those of one subject, and of one proxy. */
const ENV = { MAX_STREAMS: String(STREAMS), MAX_STREAMS_PER_SUBJECT: String(STREAMS) };

interface Round {
  /** ms of CPU in a second. */
  cpuMs: number;
}

interface StreamRound extends Round {
  eventsPerS: number;
  bytesPerS: number;
  /** Share of turns that took longer than 8 ms, and 16 ms. */
  over8: number;
  over16: number;
  turns: number;
  delaysMs: number[];
}

async function cpuMsDuring(
  city: City,
  work: () => Promise<unknown>,
): Promise<{ cpuMs: number; seconds: number }> {
  const { pid } = city.query;
  const [beforeS, startedAtMs] = [cpuS([pid]), performance.now()];
  await work();
  const seconds = (performance.now() - startedAtMs) / 1000;
  return { cpuMs: (1000 * (cpuS([pid]) - beforeS)) / seconds, seconds };
}

async function idleRound(city: City, seconds: number): Promise<Round> {
  await sleep(WARM_UP_S * 1000);
  return await cpuMsDuring(city, () => sleep(seconds * 1000));
}

/** Twice a second each: that is more than one process can do, so it follows from the cost of one question. */
async function polledRound(city: City, seconds: number, idleMs: number): Promise<Round> {
  const points = questionsAbout(city.places);
  const { ask } = city.querySide(QUESTION);
  const call = async (number: number) => {
    await ask(points[number % points.length] as (typeof points)[0]);
    return 1;
  };
  await closedLoop(POLLED_AT_ONCE, WARM_UP_S, call, 0);
  let asked = 0;
  const { cpuMs, seconds: took } = await cpuMsDuring(city, async () => {
    asked = (await closedLoop(POLLED_AT_ONCE, seconds, call, 0)).done;
  });
  return { cpuMs: ((cpuMs - idleMs) * took * STREAMS * POLLED_EACH_S) / asked };
}

async function streamRound(city: City, seconds: number, idleMs: number): Promise<StreamRound> {
  const places = questionsAbout(city.places).slice(0, STREAMS);
  const parameters = `radius_m=${QUESTION.radiusM}&limit=${QUESTION.limit}`;
  const { port, token } = city.query;
  const load = new StreamLoad({ port, token, places, parameters }, LOAD_PROCESSES);
  try {
    await load.opened(OPEN_DEADLINE_MS);
    await sleep(WARM_UP_S * 1000);
    const [before, countedBefore] = [await load.report(), await countsOf(city)];
    const { cpuMs, seconds: took } = await cpuMsDuring(city, () => sleep(seconds * 1000));
    const [after, counted] = [await load.report(), await countsOf(city)];
    if (after.failed > 0) throw new Error(`${after.failed} streams ended`);
    return {
      cpuMs: cpuMs - idleMs,
      eventsPerS: (counted.events - countedBefore.events) / took,
      bytesPerS: (after.bytes - before.bytes) / took,
      over8: counted.over8 - countedBefore.over8,
      over16: counted.over16 - countedBefore.over16,
      turns: counted.turns - countedBefore.turns,
      delaysMs: after.delaysMs.sort((a, b) => a - b),
    };
  } finally {
    await load.stop();
  }
}

async function countsOf(city: City) {
  const samples = parseMetrics(await city.query.metrics());
  const value = (name: string, labels = {}) => total(samples, `whereabouts_query_api_${name}`, labels) ?? 0;
  const turns = value('stream_turn_duration_seconds_count');
  return {
    events: value('stream_events_total', { event: 'change' }),
    turns,
    over8: turns - value('stream_turn_duration_seconds_bucket', { le: '0.008' }),
    over16: turns - value('stream_turn_duration_seconds_bucket', { le: '0.016' }),
  };
}

function outcome(drivers: number, seconds: number, rounds: number, measured: Measured): BenchOutcome {
  const { streams, polled, idle } = measured;
  const of = (pick: (round: StreamRound) => number) => streams.map(pick);
  const alone = { baseline: null, goal: null };
  const count = STREAMS.toLocaleString('en');
  const round = (value: number) => Number(value.toPrecision(3));
  const perLook = 1000 / (STREAMS * POLLED_EACH_S);
  return {
    workload: `${count} streams of the nearest ${QUESTION.limit} available within ${QUESTION.radiusM / 1000} km, at the places of random drivers (seed ${QUESTION_SEED}), of ${drivers.toLocaleString('en')} drivers of one city (seed ${FLEET_SEED}), half of them available, each driving at 10 m/s and reporting every ${REPORT_EVERY_MS / 1000} s, in 64 partitions on ${MASTERS} masters; min_move_m 25; ${LOAD_PROCESSES} processes read them; ${seconds} s after ${WARM_UP_S} s to warm up, ${rounds} rounds`,
    figures: [
      {
        name: `CPU of query-api for ${count} streams, each second`,
        unit: 'ms',
        measured: of(({ cpuMs }) => cpuMs),
        baseline: { name: 'polled twice a second', measured: polled.map(({ cpuMs }) => cpuMs) },
        goal: { atMost: MAX_SHARE_OF_POLLING },
      },
      {
        name: 'From recording a position until its event is read, p99',
        unit: 'ms',
        measured: of(({ delaysMs }) => quantile(delaysMs, 0.99)),
        baseline: null,
        goal: { atMost: MAX_DELAY_P99_MS },
      },
      { ...alone, name: '... p50', unit: 'ms', measured: of(({ delaysMs }) => quantile(delaysMs, 0.5)) },
      {
        ...alone,
        name: 'CPU for each look at a stream, with its event if it has one',
        unit: 'us',
        measured: of(({ cpuMs }) => cpuMs * perLook),
      },
      {
        ...alone,
        name: 'CPU while nobody asks, each second',
        unit: 'ms',
        measured: idle.map(({ cpuMs }) => cpuMs),
      },
    ],
    tables: [
      {
        title: 'Streams, round by round',
        heads: ['events/s', 'MB/s', 'turns', 'over 8 ms', 'over 16 ms', 'delays seen'],
        rows: streams.map((one) => [
          ...[round(one.eventsPerS), round(one.bytesPerS / 1e6), one.turns, one.over8, one.over16],
          one.delaysMs.length,
        ]),
      },
    ],
    notes: [
      `To poll ${count} questions twice a second is more than one process can do: its CPU is that of a question, asked ${POLLED_AT_ONCE} at once over connections that stay open, times ${(STREAMS * POLLED_EACH_S).toLocaleString('en')}.`,
      'What query-api needs while nobody asks, to follow the fleet, is taken off both.',
      'Delays are those of drivers reported to have moved, of every 20th stream. The readers share the cores with query-api.',
    ],
    costs: { query_api_us_per_stream_look: median(of(({ cpuMs }) => cpuMs * perLook)) },
  };
}

interface Measured {
  idle: Round[];
  polled: Round[];
  streams: StreamRound[];
}

async function run(context: BenchContext): Promise<BenchOutcome> {
  const drivers = context.drivers ?? DEFAULTS.drivers;
  const seconds = context.seconds ?? DEFAULTS.seconds;
  const rounds = context.rounds ?? DEFAULTS.rounds;
  const city = await City.start(drivers, undefined, ENV);
  const fleet = new MovingFleet(city.own, city.places, REPORT_EVERY_MS);
  const measured: Measured = { idle: [], polled: [], streams: [] };
  try {
    for (let round = 0; round < rounds; round++) {
      context.say(`streams: round ${round + 1} of ${rounds}`);
      const idle = await idleRound(city, seconds);
      measured.idle.push(idle);
      const sides = {
        streams: async () => {
          measured.streams.push(await streamRound(city, seconds, idle.cpuMs));
        },
        polled: async () => {
          measured.polled.push(await polledRound(city, seconds, idle.cpuMs));
        },
      };
      await alternate(1, round % 2 === 0 ? sides : { polled: sides.polled, streams: sides.streams });
    }
    fleet.stop();
  } finally {
    await city.stop();
  }
  return outcome(drivers, seconds, rounds, measured);
}

export const STREAMS_BENCH: Bench = {
  about: 'CPU and delay of 5,000 streams of nearby drivers, over polling',
  run,
};

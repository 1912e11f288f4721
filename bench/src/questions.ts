// The cost of a question: CPU of query-api and of the Redis masters for each `GET /v1/drivers/nearby`, through a whole
// stack. Their CPU without questions (query-api follows the map all the time) is measured in alternation and
// subtracted: for the masters almost nothing should remain.

import { buildPartitionMap } from '@whereabouts/infra/partition-map';
import { partitionRows } from '@whereabouts/scripts/drill/regions';
import { median } from '@whereabouts/scripts/median';
import { Dispatcher } from '@whereabouts/scripts/outside/dispatcher';
import { OwnStack } from '@whereabouts/scripts/stack/own-stack';
import { readSecret, type Stack } from '@whereabouts/scripts/stack-file';
import { alternate, type Bench, type BenchContext, type BenchOutcome } from './bench.js';
import { Latencies } from './load/latencies.js';
import { Load } from './load/load.js';
import { cityFleet, type Place } from './load/places.js';
import { cell, redisPids, sleep } from './measured-load.js';
import { cpuS } from './process-cpu.js';

const DEFAULTS = { drivers: 20_000, seconds: 10, rounds: 3 };
const LOAD_PROCESSES = 2;
const AT_ONCE = 8;
const WARM_UP_S = 3;
const CONNECTED_AT_ONCE = 5000;
const RECORD_DEADLINE_MS = 60_000;
const QUESTION = { radius_m: 5000, limit: 10 };
const POINTS = 5000;
/** The fleet stands still once it is recorded: while questions run it must not become stale, go offline or be swept. */
const ENV = {
  ...{ FRESHNESS_MS: '3600000', SWEEP_AFTER_MS: '7200000', OFFLINE_AFTER_MS: '600000' },
  // One caller asks all, each as soon as the one before is answered.
  MAX_QUESTIONS_PER_S: '1000000',
};

/** CPU seconds of each second. */
interface Cpu {
  queryApi: number;
  masters: number;
}

interface Round {
  questionsPerS: number;
  /** While questions ran; nothing is subtracted. */
  cpu: Cpu;
  questioner: Questioner;
}

/** Drivers connect, report, and disappear without a close: their records stay. In groups, as sockets are limited. */
async function recordFleet(stack: Stack, drivers: Place[]): Promise<void> {
  const { issuer, audience } = stack.auth;
  const auth = { secret: readSecret(stack), issuer, audience: audience.ingest };
  const port = Number(new URL(stack.ingest.url).port);
  const task = { host: '127.0.0.1', port, auth, ack: 'sparse', format: 'bin', intervalMs: 2000 } as const;
  for (let at = 0; at < drivers.length; at += CONNECTED_AT_ONCE) {
    const some = drivers.slice(at, at + CONNECTED_AT_ONCE);
    const load = new Load({ ...task, drivers: some }, LOAD_PROCESSES);
    try {
      await untilRecorded(stack, at + some.length);
    } finally {
      await load.stop();
    }
  }
}

async function untilRecorded(stack: Stack, count: number): Promise<void> {
  const endMs = Date.now() + RECORD_DEADLINE_MS;
  for (let known = 0; known < count; ) {
    if (Date.now() > endMs) throw new Error(`${known} of ${count} drivers are recorded`);
    await sleep(500);
    known = (await partitionRows(stack)).reduce((sum, { drivers }) => sum + (drivers ?? 0), 0);
  }
}

function cpuNowS(stack: Stack): Cpu {
  return { queryApi: cpuS([stack.query.pid]), masters: cpuS(redisPids(stack, 'master')) };
}

async function cpuDuring(stack: Stack, work: () => Promise<void>): Promise<Cpu & { seconds: number }> {
  const before = cpuNowS(stack);
  const startedAtMs = performance.now();
  await work();
  const seconds = (performance.now() - startedAtMs) / 1000;
  const after = cpuNowS(stack);
  return {
    queryApi: (after.queryApi - before.queryApi) / seconds,
    masters: (after.masters - before.masters) / seconds,
    seconds,
  };
}

class Questioner {
  questions = 0;
  incomplete = 0;
  found = 0;
  readonly latencies = new Latencies();
  readonly #dispatcher: Dispatcher;
  readonly #points: Place[];

  constructor(dispatcher: Dispatcher, points: Place[]) {
    this.#dispatcher = dispatcher;
    this.#points = points;
  }

  /** This many at once; each next one starts as soon as one is answered. */
  async ask(seconds: number): Promise<void> {
    const endMs = performance.now() + seconds * 1000;
    const one = async () => {
      while (performance.now() < endMs) await this.#one();
    };
    await Promise.all(Array.from({ length: AT_ONCE }, one));
  }

  async #one(): Promise<void> {
    const { lat, lon } = this.#points[this.questions++ % this.#points.length] as Place;
    const askedAtMs = performance.now();
    const { complete, drivers } = await this.#dispatcher.nearby({ lat, lon, ...QUESTION });
    this.latencies.add(performance.now() - askedAtMs);
    if (!complete) this.incomplete++;
    this.found += drivers.length;
  }
}

async function askedRound(stack: Stack, questioner: Questioner, seconds: number): Promise<Round> {
  const cpu = await cpuDuring(stack, () => questioner.ask(seconds));
  return { questionsPerS: questioner.questions / cpu.seconds, cpu, questioner };
}

function outcome(workload: string, idle: readonly Cpu[], rounds: readonly Round[]): BenchOutcome {
  const us = (part: keyof Cpu) =>
    rounds.map(({ cpu, questionsPerS }, i) => (1e6 * (cpu[part] - (idle[i] as Cpu)[part])) / questionsPerS);
  const [queryApiUs, redisUs] = [us('queryApi'), us('masters')];
  const figure = (name: string, measured: number[]) => ({
    name,
    unit: 'us',
    measured,
    baseline: null,
    goal: null,
  });
  const latencies = new Latencies();
  for (const { questioner } of rounds) latencies.merge(questioner.latencies.counts);
  const sum = (of: (questioner: Questioner) => number) =>
    rounds.reduce((all, { questioner }) => all + of(questioner), 0);
  const questions = sum((questioner) => questioner.questions);
  return {
    workload,
    figures: [
      figure('CPU of query-api for each question', queryApiUs),
      figure('CPU of the Redis masters for each question', redisUs),
    ],
    tables: [
      {
        title: 'Questions, as the dispatcher saw them',
        heads: ['questions', 'questions/s', 'drivers found, mean', 'incomplete', 'p50 ms', 'p99 ms'],
        rows: [
          [
            questions,
            median(rounds.map(({ questionsPerS }) => questionsPerS)),
            sum(({ found }) => found) / questions,
            sum(({ incomplete }) => incomplete),
            latencies.quantile(0.5) ?? Number.NaN,
            latencies.quantile(0.99) ?? Number.NaN,
          ].map(cell),
        ],
      },
    ],
    notes: [
      'The dispatcher shares the cores with what is measured: the questions/s are no limit of query-api.',
    ],
    costs: { query_api_us_per_question: median(queryApiUs) },
  };
}

async function run(context: BenchContext): Promise<BenchOutcome> {
  const count = context.drivers ?? DEFAULTS.drivers;
  const seconds = context.seconds ?? DEFAULTS.seconds;
  const rounds = context.rounds ?? DEFAULTS.rounds;
  const drivers = cityFleet(count, 1);
  const points = cityFleet(POINTS, 2);
  const own = await OwnStack.start(buildPartitionMap(drivers), ENV);
  const idle: Cpu[] = [];
  const asked: Round[] = [];
  try {
    const stack = own.now;
    context.say(`questions: recording ${count.toLocaleString('en')} drivers`);
    await recordFleet(stack, drivers);
    const dispatcher = await Dispatcher.of(stack);
    await new Questioner(dispatcher, points).ask(WARM_UP_S);
    await alternate(rounds, {
      idle: async () => void idle.push(await cpuDuring(stack, () => sleep(seconds * 1000))),
      asking: async (round) => {
        context.say(`questions: round ${round + 1} of ${rounds}`);
        asked.push(await askedRound(stack, new Questioner(dispatcher, points), seconds));
      },
    });
  } finally {
    await own.stop();
  }
  const workload = `${count.toLocaleString('en')} recorded drivers of one city (seed 1), 64 partitions on 3 masters; the nearest ${QUESTION.limit} within ${QUESTION.radius_m / 1000} km of ${POINTS.toLocaleString('en')} points spread as they are (seed 2), ${AT_ONCE} questions at once; ${seconds} s in alternation with as long without questions, ${rounds} rounds`;
  return outcome(workload, idle, asked);
}

export const QUESTIONS: Bench = {
  about: 'CPU of query-api and Redis for each question over HTTP, through a whole stack',
  run,
};

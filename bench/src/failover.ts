// What dispatch notices of a Redis master that dies or freezes: questions about the whole map, a hundred a second,
// while every driver keeps reporting. Each fault has a new stack.
import { buildPartitionMap } from '@whereabouts/infra/partition-map';
import { seededRandom } from '@whereabouts/infra/seeded-random';
import { withDeadline } from '@whereabouts/infra/service/deadline';
import { Dispatcher } from '@whereabouts/scripts/outside/dispatcher';
import { OwnStack } from '@whereabouts/scripts/stack/own-stack';
import { readSecret, type Stack, type StackNode } from '@whereabouts/scripts/stack-file';
import type { Bench, BenchContext, BenchOutcome, Figure } from './bench.js';
import { Load } from './load/load.js';
import type { LoadTotals } from './load/load-driver.js';
import { cityFleet, type Place } from './load/places.js';
import { cell, INTERVAL_MS, sleep } from './measured-load.js';
import { quantile } from './stores/closed-loop.js';

const DEFAULTS = { drivers: 1_500, seconds: 12, rounds: 2 };
const SEED = 1;
const QUESTION_SEED = 9;
const QUESTIONS_PER_S = 100;
const LOAD_PROCESSES = 1;
const CONNECT_DEADLINE_MS = 60_000;
/** Every driver has been acknowledged, and query-api has seen it. */
const SETTLE_MS = 6_000;
const CALM_MS = 2_000;
const FROZEN_MS = 5_000;
/** A driver of the load moves some metres to and fro. */
const RADIUS_M = 300;
const LIMIT = 100;
const ANSWER_TIMEOUT_MS = 2_000;

const FAULTS = {
  kill: 'kill -9 of a master',
  freeze: `a master frozen for ${FROZEN_MS / 1000} s`,
} as const;
type Fault = keyof typeof FAULTS;
const NAMES = Object.keys(FAULTS) as Fault[];

interface Seen {
  questions: number;
  incomplete: number;
  failed: number;
  /** Answers without the requested driver, who keeps reporting. */
  missing: number;
  answerMs: number[];
  viewAgeMs: number[];
  totals: LoadTotals;
}

class Questioner {
  readonly seen: Omit<Seen, 'totals'> = {
    questions: 0,
    incomplete: 0,
    failed: 0,
    missing: 0,
    answerMs: [],
    viewAgeMs: [],
  };
  readonly #dispatcher: Dispatcher;

  constructor(dispatcher: Dispatcher) {
    this.#dispatcher = dispatcher;
  }

  /** At its pace, even if answers do not come: each driver's surroundings in turn. */
  async ask(drivers: readonly Place[], seconds: number): Promise<void> {
    const startedAtMs = performance.now();
    const asked: Promise<void>[] = [];
    for (let i = 0; i < seconds * QUESTIONS_PER_S; i++) {
      const dueMs = startedAtMs + (1_000 * i) / QUESTIONS_PER_S;
      await sleep(Math.max(0, dueMs - performance.now()));
      asked.push(this.#one(drivers[i % drivers.length] as Place));
    }
    await Promise.all(asked);
  }

  async #one({ id, lat, lon }: Place): Promise<void> {
    const { seen } = this;
    const askedAtMs = performance.now();
    seen.questions++;
    try {
      const question = { lat, lon, radius_m: RADIUS_M, limit: LIMIT };
      const answer = await withDeadline(this.#dispatcher.nearby(question), ANSWER_TIMEOUT_MS);
      seen.answerMs.push(performance.now() - askedAtMs);
      seen.viewAgeMs.push(answer.view_age_ms);
      if (!answer.complete) seen.incomplete++;
      if (!answer.drivers.some(({ driver_id }) => driver_id === id)) seen.missing++;
    } catch {
      seen.failed++;
    }
  }
}

async function inflict(fault: Fault, { pid }: StackNode): Promise<void> {
  if (fault === 'kill') {
    process.kill(pid, 'SIGKILL');
    return;
  }
  process.kill(pid, 'SIGSTOP');
  try {
    await sleep(FROZEN_MS);
  } finally {
    process.kill(pid, 'SIGCONT');
  }
}

async function underFault(stack: Stack, fault: Fault, drivers: Place[], seconds: number): Promise<Seen> {
  const { issuer, audience } = stack.auth;
  const auth = { secret: readSecret(stack), issuer, audience: audience.ingest };
  const port = Number(new URL(stack.ingest.url).port);
  const task = { host: '127.0.0.1', port, auth, intervalMs: INTERVAL_MS, drivers } as const;
  const load = new Load({ ...task, format: 'bin', ack: 'each' }, LOAD_PROCESSES);
  try {
    await load.connected(CONNECT_DEADLINE_MS);
    await sleep(SETTLE_MS);
    const masters = stack.redis.filter(({ role }) => role === 'master');
    const victim = masters[masters.length >> 1] as StackNode;
    const questioner = new Questioner(await Dispatcher.of(stack));
    const random = seededRandom(QUESTION_SEED);
    const order = drivers.map((place) => ({ place, at: random.next() })).sort((a, b) => a.at - b.at);
    load.clearLatencies();
    const before = (await load.snapshot()).totals;
    const breaking = sleep(CALM_MS).then(() => inflict(fault, victim));
    await Promise.all([
      questioner.ask(
        order.map(({ place }) => place),
        seconds,
      ),
      breaking,
    ]);
    const after = (await load.snapshot()).totals;
    const totals = { ...after, nacks: after.nacks - before.nacks, closed: after.closed - before.closed };
    return { ...questioner.seen, totals };
  } finally {
    await load.stop();
  }
}

type Part = 'incomplete' | 'failed' | 'missing';
const PARTS: Readonly<Record<Part, string>> = {
  incomplete: 'incomplete answers',
  failed: 'questions without an answer',
  missing: 'answers that lacked a driver who reports on',
};

function figuresOf(fault: Fault, rounds: readonly Seen[]): Figure[] {
  return (Object.keys(PARTS) as Part[]).map((part) => ({
    name: `${FAULTS[fault]}: ${PARTS[part]}`,
    unit: 'answers',
    measured: rounds.map((seen) => seen[part]),
    baseline: null,
    goal: { atMost: 0 },
  }));
}

function rowOf(fault: Fault, rounds: readonly Seen[]): (string | number)[] {
  const all = (part: 'answerMs' | 'viewAgeMs') => rounds.flatMap((seen) => seen[part]).sort((a, b) => a - b);
  const sum = (of: (seen: Seen) => number) => rounds.reduce((total, seen) => total + of(seen), 0);
  return [
    FAULTS[fault],
    sum(({ questions }) => questions),
    cell(quantile(all('answerMs'), 0.99)),
    cell(quantile(all('answerMs'), 1)),
    cell(quantile(all('viewAgeMs'), 1)),
    sum(({ totals }) => totals.nacks),
    sum(({ totals }) => totals.closed),
  ];
}

async function run(context: BenchContext): Promise<BenchOutcome> {
  const seconds = context.seconds ?? DEFAULTS.seconds;
  const count = context.rounds ?? DEFAULTS.rounds;
  const drivers = cityFleet(context.drivers ?? DEFAULTS.drivers, SEED);
  const map = buildPartitionMap(drivers);
  const seen: Record<Fault, Seen[]> = { kill: [], freeze: [] };
  for (let round = 0; round < count; round++) {
    for (const fault of NAMES) {
      context.say(`failover: ${FAULTS[fault]}, round ${round + 1} of ${count}`);
      const own = await OwnStack.start(map);
      seen[fault].push(await underFault(own.now, fault, drivers, seconds).finally(() => own.stop()));
    }
  }
  return {
    workload: `${drivers.length.toLocaleString('en')} drivers of one city (seed ${SEED}) in 64 partitions on 3 masters with replicas and promoter, binary, ack=each, a report every ${INTERVAL_MS / 1000} s; ${QUESTIONS_PER_S} questions a second for ${seconds} s, each about the ${RADIUS_M} m around a driver, all in turn (seed ${QUESTION_SEED}); the fault comes after ${CALM_MS / 1000} s; ${count} rounds, each with a new stack`,
    figures: NAMES.flatMap((fault) => figuresOf(fault, seen[fault])),
    tables: [
      {
        title: 'What dispatch and drivers noticed',
        heads: [
          'fault',
          'questions',
          'answer p99 ms',
          'slowest ms',
          'oldest view ms',
          'nacks',
          'connections closed',
        ],
        rows: NAMES.map((fault) => rowOf(fault, seen[fault])),
      },
    ],
    notes: [`A question without an answer in ${ANSWER_TIMEOUT_MS / 1000} s counts as failed.`],
  };
}

export const FAILOVER: Bench = {
  about: 'what answers lack while a Redis master is killed or frozen',
  run,
};

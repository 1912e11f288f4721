// Runs the scripts of bench/k6 against a new stack: drivers, dispatch, both together, and a spike. The scripts define
// the goals, as k6 thresholds; here they become figures.
import { join } from 'node:path';
import { buildPartitionMap } from '@whereabouts/infra/partition-map';
import { median } from '@whereabouts/scripts/median';
import { OwnStack } from '@whereabouts/scripts/stack/own-stack';
import { readSecret } from '@whereabouts/scripts/stack-file';
import { alternate, type Bench, type BenchContext, type BenchOutcome, type Table } from './bench.js';
import { findK6, runK6 } from './k6/k6-process.js';
import { aggregateOf, crossedThresholds, figuresOf, type K6Summary } from './k6/summary.js';
import { Load } from './load/load.js';
import { cityFleet, type Place } from './load/places.js';
import { sleep } from './measured-load.js';

const DEFAULTS = { drivers: 1000, seconds: 20, rounds: 2 };
/** The scripts' own least. */
const LEAST_S = 10;
const QUESTIONS_PER_S = 50;
const SEED = 1;
const SPIKE_FACTOR = 4;
/** For any script on top of twice its duration: ramp, last answers, closing. */
const MARGIN_MS = 90_000;
const CONNECT_DEADLINE_MS = 60_000;
const SETTLE_MS = 3000;

const SCRIPTS = ['drivers', 'dispatch', 'both', 'spike'] as const;
type Script = (typeof SCRIPTS)[number];
type Runs = Record<Script, K6Summary[]>;

interface Setting {
  own: OwnStack;
  fleet: Place[];
  seconds: number;
}

/** `dispatch` asks about drivers that cost the machine less than k6's own do. */
async function whileReporting<T>({ own, fleet }: Setting, work: () => Promise<T>): Promise<T> {
  const stack = own.now;
  const { issuer, audience } = stack.auth;
  const auth = { secret: readSecret(stack), issuer, audience: audience.ingest };
  const port = Number(new URL(stack.ingest.url).port);
  const task = { host: '127.0.0.1', intervalMs: 2000, drivers: fleet, port, auth } as const;
  const load = new Load({ ...task, format: 'bin', ack: 'sparse' }, 1);
  try {
    await load.connected(CONNECT_DEADLINE_MS);
    await sleep(SETTLE_MS);
    return await work();
  } finally {
    await load.stop();
  }
}

function runScript(script: Script, setting: Setting): Promise<K6Summary> {
  const { own, fleet, seconds } = setting;
  const drivers = script === 'spike' ? Math.ceil(fleet.length / SPIKE_FACTOR) : fleet.length;
  const env = {
    STACK: join(own.home, 'stack.json'),
    DRIVERS: drivers,
    DURATION_S: seconds,
    QUESTIONS_PER_S,
    SEED,
  };
  const work = () => runK6(script, env, 2 * seconds * 1000 + MARGIN_MS);
  return script === 'dispatch' ? whileReporting(setting, work) : work();
}

type Column = [head: string, metric: string, aggregation: string];

function table(title: string, runs: [name: string, K6Summary[]][], columns: Column[]): Table {
  const cell = (rounds: K6Summary[], metric: string, aggregation: string) =>
    median(rounds.map((round) => aggregateOf(round, metric, aggregation)));
  return {
    title,
    heads: ['script', ...columns.map(([head]) => head)],
    rows: runs.map(([name, rounds]) => [
      name,
      ...columns.map(([, metric, aggregation]) => {
        const value = cell(rounds, metric, aggregation);
        return Number.isFinite(value) ? Number(value.toPrecision(4)) : 'not measured';
      }),
    ]),
  };
}

const times = (metric: string): Column[] => [
  ['p50 ms', metric, 'med'],
  ['p95 ms', metric, 'p(95)'],
  ['p99 ms', metric, 'p(99)'],
  ['max ms', metric, 'max'],
];

function tablesOf({ drivers, dispatch, both, spike }: Runs): Table[] {
  return [
    table(
      'Acknowledgements as drivers saw them, the ramp included',
      [
        ['drivers', drivers],
        ['both', both],
        ['spike', spike],
      ],
      [
        ['reports', 'reports_sent', 'count'],
        ['acked', 'reports_acked', 'count'],
        ['nacks', 'nacks', 'count'],
        ['lost connections', 'lost_connections', 'count'],
        ['went under with it', 'reports_unanswered', 'count'],
        ...times('ack_latency'),
      ],
    ),
    ...['nearby', 'batch', 'by_id'].map((name) =>
      table(
        `HTTP answers: ${name}`,
        [
          ['dispatch', dispatch],
          ['both', both],
        ],
        [['questions', `http_reqs{name:${name}}`, 'count'], ...times(`http_req_duration{name:${name}}`)],
      ),
    ),
  ];
}

async function run(context: BenchContext): Promise<BenchOutcome> {
  const version = await findK6();
  const count = context.drivers ?? DEFAULTS.drivers;
  const seconds = Math.max(context.seconds ?? DEFAULTS.seconds, LEAST_S);
  const rounds = context.rounds ?? DEFAULTS.rounds;
  const fleet = cityFleet(count, SEED);
  const runs: Runs = { drivers: [], dispatch: [], both: [], spike: [] };
  const own = await OwnStack.start(buildPartitionMap(fleet));
  try {
    const turns = SCRIPTS.map((script) => [
      script,
      async (round: number) => {
        context.say(`k6: ${script}.js, round ${round + 1} of ${rounds}`);
        runs[script].push(await runScript(script, { own, fleet, seconds }));
      },
    ]);
    await alternate(rounds, Object.fromEntries(turns));
  } finally {
    await own.stop();
  }
  const crossed = SCRIPTS.flatMap((script) =>
    runs[script].flatMap((summary) =>
      crossedThresholds(summary).map((text) => `Crossed in ${script}.js: ${text}`),
    ),
  );
  return {
    workload: `k6 ${version}; ${count.toLocaleString('en')} drivers of one city (seed ${SEED}), each with a report every 2 s over JSON with ack=each; ${QUESTIONS_PER_S} nearby a second, and batches and questions by id; the spike goes from a quarter of the drivers to all of them in 3 s; ${seconds} s each, ${rounds} ${rounds === 1 ? 'round' : 'rounds'}`,
    figures: SCRIPTS.flatMap((script) => figuresOf(`${script}.js`, runs[script])),
    tables: tablesOf(runs),
    notes: [
      ...crossed,
      'k6 shares the cores with what it measures, and needs of the same order as ingest does.',
    ],
  };
}

export const K6: Bench = {
  about: 'k6: drivers, dispatch, both, and a spike, against a whole stack',
  run,
};

// A capacity plan for people: as text, and several side by side as a Markdown table.
import { style, wrapText } from '../terminal.js';
import { ASSUMPTIONS, NOT_PLANNED } from './assumptions.js';
import type { CapacityPlan, Part } from './capacity-plan.js';
import type { UsedCost } from './measured-costs.js';

interface Section {
  title: string;
  rows: [what: string, value: string][];
}

const SHORT_COMMIT = 10;

/** Two digits below 10: a plan is not more exact than that. */
function shown(value: number): string {
  if (value === 0) return '0';
  if (value < 10) return String(Number(value.toPrecision(2)));
  return Math.round(value).toLocaleString('en');
}

function scaled(value: number, step: number, units: readonly string[]): string {
  let [rest, at] = [value, 0];
  while (rest >= step && at < units.length - 1) {
    rest /= step;
    at++;
  }
  return `${rest < 100 ? Number(rest.toPrecision(2)) : Math.round(rest)} ${units[at]}`;
}

const bytes = (value: number) => scaled(value, 1024, ['B', 'KiB', 'MiB', 'GiB', 'TiB']);
const bits = (bytesPerS: number) => scaled(8 * bytesPerS, 1000, ['bit/s', 'kbit/s', 'Mbit/s', 'Gbit/s']);
const percent = (part: number) => `${Math.round(100 * part).toLocaleString('en')} %`;
const busy = ({ utilisation, utilisationAfterLoss }: Pick<Part, 'utilisation' | 'utilisationAfterLoss'>) =>
  `${percent(utilisation)}; ${percent(utilisationAfterLoss)}`;

function sections(plan: CapacityPlan): Section[] {
  const { target, load, redis, ingest, queryApi, flusher, postgres, connections, network } = plan;
  return [
    {
      title: 'Load',
      rows: [
        ['reports/s', shown(load.positionsPerS)],
        ['acknowledgements/s', shown(load.acksPerS)],
        ['questions/s', shown(target.questionsPerS)],
        ['rows/s to Postgres', shown(load.rowsPerS)],
      ],
    },
    {
      title: 'Processes (busy, each; once one is lost)',
      rows: [
        ['Redis masters', `${shown(redis.masters)} (${busy(redis.master)})`],
        ['Redis replicas', shown(redis.replicas)],
        ['ingest', `${shown(ingest.processes)} (${busy(ingest)})`],
        ['query-api', `${shown(queryApi.processes)} (${busy(queryApi)})`],
        ['... of that with following', percent(queryApi.followingCores)],
        ['flusher', `${shown(flusher.processes)} (${busy(flusher)})`],
        ['partitions of the map', shown(redis.partitions)],
        ['appends and polls/s, each master', shown(redis.callsPerMasterPerS)],
      ],
    },
    {
      title: 'Cores',
      rows: [
        ['Redis', `${shown(redis.hosts)} hosts x ${redis.coresPerHost}`],
        ['ingest', shown(ingest.processes)],
        ['query-api', shown(queryApi.processes)],
        ['flusher', shown(flusher.processes)],
        ['Postgres', shown(postgres.cores)],
        ['in all', shown(plan.cores)],
        ['of these busy', shown(busyCores(plan))],
      ],
    },
    {
      title: 'Memory',
      rows: [
        ['positions, each master', bytes(redis.dataBytesPerMaster)],
        ['each Redis node', bytes(redis.bytesPerNode)],
        ['Redis in all', bytes(redis.bytesInAll)],
        ['each ingest process', bytes(ingest.bytesPerProcess)],
        ['ingest in all', bytes(ingest.bytesInAll)],
        ['each query-api process', bytes(queryApi.bytesPerProcess)],
        ['query-api in all', bytes(queryApi.bytesInAll)],
      ],
    },
    {
      title: 'Connections',
      rows: [
        ['drivers, each ingest process', shown(connections.driversPerProcess)],
        ['... once one is lost', shown(connections.driversPerProcessAfterLoss)],
        ['to Redis, each ingest process', shown(connections.redisPerIngestProcess)],
        ['open files, each ingest process', shown(connections.descriptorsPerIngestProcess)],
        ['at each Redis node', shown(connections.perRedisNode)],
      ],
    },
    {
      title: 'Network between drivers and ingest',
      rows: [
        ['in', bits(network.inBytesPerS)],
        ['out', bits(network.outBytesPerS)],
      ],
    },
    {
      title: 'Postgres',
      rows: [
        ['of the rows/s one was measured to take', percent(load.rowsPerS / postgres.measuredRowsPerS)],
        ['WAL', `${bytes(postgres.walBytesPerS)}/s`],
      ],
    },
    {
      title: 'After the loss of a Redis host',
      rows: [['appending its drivers again, at most', `${shown(redis.catchUpS)} s of one core`]],
    },
  ];
}

const busyCores = ({ redis, ingest, queryApi, flusher, postgres }: CapacityPlan): number =>
  [redis, ingest, queryApi, flusher, postgres].reduce((sum, part) => sum + part.busyCores, 0);

function targetText(target: CapacityPlan['target']): string {
  const { intervalS, flushIntervalS, durability, frames, ack } = target;
  return `a report every ${intervalS} s (${frames}, ack=${ack}), a flush every ${flushIntervalS} s, DURABILITY=${durability}`;
}

function measuredLines(measured: readonly UsedCost[]): string[] {
  const runs = new Map<string, UsedCost[]>();
  for (const cost of measured) runs.set(cost.bench, [...(runs.get(cost.bench) ?? []), cost]);
  return [...runs].map(([bench, costs]) => {
    const { measuredAt, commit, machine } = costs[0] as UsedCost;
    const [hash = '', changed] = commit.split(',');
    const at = `${hash.slice(0, SHORT_COMMIT)}${changed === undefined ? '' : ', with changes'}`;
    const values = costs.map(({ name, value }) => `${name} ${Number(value.toPrecision(3))}`).join(', ');
    return `${values}: measured by \`npm run bench -- ${bench}\`, ${measuredAt}, commit ${at}; ${machine}`;
  });
}

/** Where each figure comes from. */
const originLines = (plan: CapacityPlan): string[] => [
  ...measuredLines(plan.measured),
  ...ASSUMPTIONS.map(({ what, why }) => `assumed: ${what} (${why})`),
  NOT_PLANNED,
];

export function planText(plan: CapacityPlan): string {
  const all = sections(plan);
  const width = Math.max(...all.flatMap(({ rows }) => rows.map(([what]) => what.length)));
  return [
    `${plan.target.drivers.toLocaleString('en')} drivers, ${targetText(plan.target)}`,
    ...all.flatMap(({ title, rows }) => [
      style('bold', title),
      ...rows.map(([what, value]) => `  ${what.padEnd(width)}  ${value}`),
    ]),
    ...(plan.warnings.length > 0 ? [style('bold', 'Mind')] : []),
    ...plan.warnings.map((warning) => wrapText(`  - ${warning}`, 4)),
    style('bold', 'Where that comes from'),
    ...originLines(plan).map((line) => wrapText(`  - ${line}`, 4)),
  ].join('\n');
}

/** One column for each plan; all of them are of the same costs. */
export function planTable(plans: readonly CapacityPlan[]): string {
  const [first] = plans as [CapacityPlan, ...CapacityPlan[]];
  const columns = plans.map((plan) => sections(plan));
  const rowOf = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  const rows = sections(first).flatMap(({ title, rows: sectionRows }, s) => [
    rowOf([`**${title}**`, ...plans.map(() => '')]),
    ...sectionRows.map(([what], r) =>
      rowOf([what, ...columns.map((column) => column[s]?.rows[r]?.[1] ?? '')]),
    ),
  ]);
  const heads = plans.map(({ target }) => `${target.drivers.toLocaleString('en')} drivers`);
  const warnings = plans.flatMap(({ target, warnings: own }) =>
    own.map((warning) => `- ${target.drivers.toLocaleString('en')} drivers. ${warning}`),
  );
  return [
    `For ${targetText(first.target)}:`,
    '',
    rowOf(['', ...heads]),
    rowOf(['---', ...plans.map(() => '---:')]),
    ...rows,
    '',
    ...(warnings.length > 0 ? [...warnings, ''] : []),
    'Where that comes from:',
    '',
    ...originLines(first).map((line) => `- ${line}`),
  ].join('\n');
}

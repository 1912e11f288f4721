// What `npm run top` shows, as lines that fit the terminal.
import { clockText } from '../stack/dark.js';
import { cut, figureText as shown, style, tableText, UNKNOWN, widthOf } from '../terminal.js';
import type { NodeFigures, PartitionFigures, ServiceFigures, TopSnapshot } from './top-snapshot.js';

const MIB = 2 ** 20;
const BAR_CELLS = 20;
/** Share of the budget from which on it is shown in colour. */
const NEAR = 0.8;

const TITLE_COLUMNS = 12;
const GAP = '   ';
const STATE_COLOUR = { up: 'green', down: 'red', silent: 'yellow' } as const;

const seconds = (ms: number | null): string => shown(ms === null ? null : ms / 1000, 1, ' s');
const memory = (bytes: number | null): string => shown(bytes === null ? null : bytes / MIB, 0, ' MiB');
/** Below ten a second a fraction matters. */
const rate = (perS: number | null): string => shown(perS, perS !== null && perS > 0 && perS < 10 ? 1 : 0);

function windowColour(ms: number | null, budgetMs: number | null): 'red' | 'yellow' | 'green' {
  if (ms === null || budgetMs === null) return 'yellow';
  if (ms > budgetMs) return 'red';
  return ms > NEAR * budgetMs ? 'yellow' : 'green';
}

function bar(part: number): string {
  const full = Math.max(0, Math.min(BAR_CELLS, Math.round(part * BAR_CELLS)));
  return '█'.repeat(full) + '░'.repeat(BAR_CELLS - full);
}

function fleetParts({ fleet }: TopSnapshot): string[] {
  const nacks = `${rate(fleet.nacks_per_s)} nacks/s`;
  return [
    `${shown(fleet.connected)} drivers`,
    `${rate(fleet.positions_per_s)} positions/s`,
    `${rate(fleet.acks_per_s)} acks/s`,
    fleet.nacks_per_s ? style('yellow', nacks) : nacks,
    `p99 ${shown(fleet.ack_p99_ms, 0, ' ms')}`,
  ];
}

function archiveParts({ archive }: TopSnapshot): string[] {
  const { loss_window_ms: ms, loss_budget_ms: budgetMs, postgres_up: up } = archive;
  const part = ms === null || budgetMs === null ? 0 : ms / budgetMs;
  const window = `${seconds(ms)} of ${seconds(budgetMs)}  ${bar(part)}`;
  const postgres = up === null ? 'Postgres unknown' : up ? 'Postgres up' : 'Postgres DOWN';
  return [
    style(archive.over_budget ? 'red' : windowColour(ms, budgetMs), window),
    `${rate(archive.rows_per_s)} rows/s`,
    up === false ? style('red', postgres) : postgres,
  ];
}

function questionParts({ questions }: TopSnapshot): string[] {
  const incomplete = `${rate(questions.incomplete_per_s)} incomplete/s`;
  return [
    `${rate(questions.per_s)}/s`,
    `p99 ${shown(questions.p99_ms, 0, ' ms')}`,
    questions.incomplete_per_s ? style('yellow', incomplete) : incomplete,
    `${rate(questions.refused_per_s)} refused/s`,
  ];
}

function darkParts({ dark }: TopSnapshot): string[] {
  if (dark === null) return [style('green', 'nothing')];
  const since = `since ${clockText(Date.parse(dark.since))}`;
  const parts = [since, `${dark.partitions} of ${dark.of} partitions`, dark.where, dark.nodes.join(', ')];
  return parts.filter((part) => part !== '').map((part) => style('red', part));
}

/** A title and what belongs to it, on as many lines as it takes. */
function titled(title: string, parts: readonly string[], columns: number | null): string[] {
  const lines = [''];
  for (const part of parts) {
    const last = lines.at(-1) as string;
    const longer = last === '' ? part : `${last}${GAP}${part}`;
    const fits = columns === null || TITLE_COLUMNS + widthOf(longer) <= columns;
    if (fits || last === '') lines[lines.length - 1] = longer;
    else lines.push(part);
  }
  const head = (text: string) => style('bold', text.padEnd(TITLE_COLUMNS));
  return lines.map((line, i) => `${i === 0 ? head(title) : ' '.repeat(TITLE_COLUMNS)}${line}`);
}

const serviceRow = ({ name, pids, answers, cpu, memory_bytes }: ServiceFigures) => [
  name,
  answers ? style('green', 'up') : style('red', 'silent'),
  pids.length > 1 ? `${pids.length} processes` : (pids[0] ?? UNKNOWN),
  shown(cpu === null ? null : cpu * 100, 0, ' %'),
  memory(memory_bytes),
];

const nodeRow = (node: NodeFigures, budgetMs: number | null) => [
  node.address,
  node.role,
  style(STATE_COLOUR[node.state], node.state),
  memory(node.memory_bytes),
  node.partitions === 0 ? UNKNOWN : node.partitions,
  shown(node.drivers),
  node.loss_window_ms === null
    ? UNKNOWN
    : style(windowColour(node.loss_window_ms, budgetMs), seconds(node.loss_window_ms)),
];

const partitionRow = (row: PartitionFigures, budgetMs: number | null) => [
  row.partition,
  row.city ?? `${row.from} to ${row.to}`,
  row.node ?? UNKNOWN,
  row.health === 'ok' ? 'ok' : style('red', row.health),
  shown(row.drivers),
  style(windowColour(row.loss_window_ms, budgetMs), seconds(row.loss_window_ms)),
];

export function topText(snapshot: TopSnapshot, columns: number | null): string[] {
  const budgetMs = snapshot.archive.loss_budget_ms;
  const table = (heads: string[], rows: (string | number)[][], right: number[], spare: number[]) =>
    tableText(heads, rows, { right, spare, columns }).split('\n');
  const lines = [
    `${style('bold', 'Whereabouts')} ${clockText(Date.parse(snapshot.at))}`,
    '',
    ...titled('fleet', fleetParts(snapshot), columns),
    ...titled('loss window', archiveParts(snapshot), columns),
    ...titled('questions', questionParts(snapshot), columns),
    ...titled('dark', darkParts(snapshot), columns),
    '',
    ...table(['service', 'state', 'pid', 'cpu', 'memory'], snapshot.services.map(serviceRow), [3, 4], []),
    '',
    ...table(
      ['redis node', 'role', 'state', 'memory', 'partitions', 'drivers', 'loss window'],
      snapshot.nodes.map((node) => nodeRow(node, budgetMs)),
      [3, 4, 5, 6],
      [3, 5],
    ),
    '',
    ...table(
      ['partition', 'near', 'node', 'health', 'drivers', 'loss window'],
      snapshot.worst.map((row) => partitionRow(row, budgetMs)),
      [0, 4, 5],
      [4],
    ),
  ];
  return columns === null ? lines : lines.map((line) => cut(line, columns));
}

// The history of drills for the terminal: a line for each promise.
import { style, tableText, wrapText } from '../terminal.js';
import {
  type DrillHistory,
  HOW_JUDGED,
  type PastRun,
  type PromiseHistory,
  type Standing,
} from './history.js';

const BLOCKS = [...'▁▂▃▄▅▆▇█'];
const SHOWN_RUNS = 20;
const COLOUR: Readonly<Record<Standing, 'green' | 'yellow' | 'red' | 'dim'>> = {
  usual: 'green',
  worse: 'yellow',
  broken: 'red',
  new: 'dim',
};
const WORD: Readonly<Record<Standing, string>> = {
  usual: 'as usual',
  worse: 'WORSE',
  broken: 'BROKEN',
  new: 'too few runs',
};

const UNIT = { ms: ' ms', count: '' } as const;

const valueText = (value: number | null, unit: PromiseHistory['unit']): string =>
  value === null ? '-' : `${Math.round(value).toLocaleString('en')}${unit === null ? '' : UNIT[unit]}`;

/** A block for each run, as high as its value; a broken one without a number is a cross. */
export function sparkText(runs: readonly PastRun[]): string {
  const shown = runs.slice(-SHOWN_RUNS);
  const most = Math.max(...shown.map(({ value }) => value ?? 0));
  const block = ({ value, passed }: PastRun) => {
    if (value === null) return passed ? '·' : '×';
    return BLOCKS[most === 0 ? 0 : Math.round((value / most) * (BLOCKS.length - 1))] ?? '';
  };
  return shown.map(block).join('');
}

function row({ promise, unit, runs, median, standing }: PromiseHistory): string[] {
  const last = runs.at(-1);
  const measured = unit === null ? (last?.passed ? 'kept' : 'broken') : valueText(last?.value ?? null, unit);
  return [
    promise,
    measured,
    valueText(median, unit),
    sparkText(runs),
    style(COLOUR[standing], WORD[standing]),
  ];
}

export function historyText(history: DrillHistory, columns: number | null): string {
  const { drill, promoter, runs, promises } = history;
  const broken = runs.filter(({ passed }) => !passed).length;
  const last = runs.at(-1);
  const at = last === undefined ? '' : new Date(last.startedAt).toLocaleString('en-GB');
  const verdict = last?.passed ? style('green', 'passed') : style('red', 'FAILED');
  return [
    `${style('bold', drill)}${promoter ? '' : ' without the promoter'}: ${runs.length} ${runs.length === 1 ? 'run' : 'runs'}, ${broken} failed; the last at ${at} ${verdict}`,
    tableText(['promise', 'last', 'median before', 'runs', ''], promises.map(row), {
      right: [1, 2],
      columns,
    }),
  ].join('\n');
}

export const howJudgedText = (): string => style('dim', wrapText(HOW_JUDGED));

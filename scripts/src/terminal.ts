// Formatting for a terminal: colours if they are wanted, and tables that fit.
import { stripVTControlCharacters, styleText } from 'node:util';

type Format = Parameters<typeof styleText>[0];
type Output = Pick<NodeJS.WriteStream, 'isTTY' | 'columns'>;

/** The default if the width is unknown. */
const USUAL_COLUMNS = 80;
/** A narrower column is unreadable. */
const LEAST_CELL = 6;
const GAP = '  ';

/** NO_COLOR and FORCE_COLOR as other programs read them: the first that is set decides. */
export function hasColours(output: Output = process.stdout, env: NodeJS.ProcessEnv = process.env): boolean {
  if (env.NO_COLOR) return false;
  if (env.FORCE_COLOR) return env.FORCE_COLOR !== '0';
  return output.isTTY === true && env.TERM !== 'dumb';
}

export const style = (format: Format, text: string): string =>
  hasColours() ? styleText(format, text) : text;

/** Null if the output is no terminal: then nothing has to fit. */
export const columnsOf = (output: Output = process.stdout): number | null =>
  output.isTTY === true ? output.columns || USUAL_COLUMNS : null;

export const widthOf = (text: string): number => stripVTControlCharacters(text).length;

const ESCAPE = '\u001b';
const PARTS = new RegExp(`${ESCAPE}\\[[\\d;]*m|.`, 'gsu');

/** Keeps the colours; an ellipsis marks missing text. */
export function cut(text: string, width: number): string {
  if (widthOf(text) <= width) return text;
  let kept = '';
  let room = width - 1;
  for (const [part] of text.matchAll(PARTS)) {
    if (part.startsWith(ESCAPE)) kept += part;
    else if (room > 0) {
      kept += part;
      room -= 1;
      if (room === 0) kept += '…';
    }
  }
  return kept;
}

/** Breaks between words if the terminal is narrower; continuation lines are indented by this much. */
export function wrapText(text: string, indent = 0, columns = columnsOf()): string {
  if (columns === null || widthOf(text) <= columns) return text;
  const lead = /^ */.exec(text)?.[0] ?? '';
  const lines = [lead];
  for (const word of text.slice(lead.length).split(' ')) {
    const last = lines.at(-1) as string;
    const isEmpty = last.trim() === '';
    const longer = isEmpty ? `${last}${word}` : `${last} ${word}`;
    if (isEmpty || widthOf(longer) <= columns) lines[lines.length - 1] = longer;
    else lines.push(`${' '.repeat(indent)}${word}`);
  }
  return lines.join('\n');
}

/** A figure that is not known. */
export const UNKNOWN = '-';

export const figureText = (value: number | null, digits = 0, unit = ''): string =>
  value === null
    ? UNKNOWN
    : `${value.toLocaleString('en', { minimumFractionDigits: digits, maximumFractionDigits: digits })}${unit}`;

export interface TableOptions {
  /** Columns of numbers are aligned right. */
  right?: readonly number[];
  /** Columns that may be dropped if there is no room, in this order. */
  spare?: readonly number[];
  /** Null: as wide as it is. */
  columns?: number | null;
}

const pad = (text: string, width: number, isRight: boolean): string => {
  const space = ' '.repeat(Math.max(0, width - widthOf(text)));
  return isRight ? space + text : text + space;
};

const widthOfRow = (widths: readonly number[]): number =>
  widths.reduce((sum, width) => sum + width, GAP.length * (widths.length - 1));

/** The widest shrinks first, while the row is too wide; none below its minimum. */
function narrowed(widths: readonly number[], leasts: readonly number[], columns: number): number[] {
  const fitting = [...widths];
  while (widthOfRow(fitting) > columns) {
    const room = fitting.map((width, i) => (width > (leasts[i] ?? 0) ? width : 0));
    const widest = room.indexOf(Math.max(...room));
    if (room[widest] === 0) break;
    fitting[widest] = (fitting[widest] ?? 0) - 1;
  }
  return fitting;
}

/** Which columns are shown, and how wide each is. */
function layout(
  heads: readonly string[],
  rows: readonly (readonly string[])[],
  columns: number | null,
  spare: readonly number[],
): { shown: number[]; widths: number[] } {
  const cells = heads.map((_, i) => Math.max(0, ...rows.map((row) => widthOf(row[i] ?? ''))));
  const natural = heads.map((head, i) => Math.max(widthOf(head), cells[i] ?? 0));
  const all = heads.map((_, i) => i);
  if (columns === null) return { shown: all, widths: natural };
  // Heads shrink first, then spare columns are dropped, and the longest cells shrink last.
  const leasts = cells.map((width, i) => Math.min(natural[i] ?? 0, Math.max(width, LEAST_CELL)));
  const gone = new Set<number>();
  const kept = () => all.filter((i) => !gone.has(i));
  for (const i of spare) {
    if (widthOfRow(kept().map((column) => leasts[column] ?? 0)) <= columns) break;
    gone.add(i);
  }
  const shown = kept();
  const of = (widths: readonly number[]) => shown.map((i) => widths[i] ?? 0);
  const underHeads = narrowed(of(natural), of(leasts), columns);
  return {
    shown,
    widths: narrowed(
      underHeads,
      shown.map(() => LEAST_CELL),
      columns,
    ),
  };
}

/** Columns as wide as their widest cell, as far as the terminal has room for them. */
export function tableText(
  heads: readonly string[],
  rows: readonly (readonly (string | number)[])[],
  { right = [], spare = [], columns = columnsOf() }: TableOptions = {},
): string {
  const cells = rows.map((row) => row.map(String));
  const titled = heads.some((head) => head !== '')
    ? [heads.map((head) => style('dim', head)), ...cells]
    : cells;
  const { shown, widths } = layout(heads, cells, columns, spare);
  const line = (row: readonly string[]) =>
    shown
      .map((column, i) => {
        const width = widths[i] ?? 0;
        return pad(cut(row[column] ?? '', width), width, right.includes(column));
      })
      .join(GAP)
      .trimEnd();
  return titled.map(line).join('\n');
}

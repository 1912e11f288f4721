// What text looks like in a terminal: colours where they are wanted, and tables that fit.
import { stripVTControlCharacters, styleText } from 'node:util';

type Format = Parameters<typeof styleText>[0];
type Output = Pick<NodeJS.WriteStream, 'isTTY' | 'columns'>;

/** Where nobody says how wide it is. */
const USUAL_COLUMNS = 80;
/** A narrower column says nothing. */
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

/** Null where the output is no terminal: then nothing has to fit. */
export const columnsOf = (output: Output = process.stdout): number | null =>
  output.isTTY === true ? output.columns || USUAL_COLUMNS : null;

export const widthOf = (text: string): number => stripVTControlCharacters(text).length;

const ESCAPE = '\u001b';
const PARTS = new RegExp(`${ESCAPE}\\[[\\d;]*m|.`, 'gsu');

/** With its colours; an ellipsis says that something is missing. */
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

export interface TableOptions {
  /** Columns that are numbers stand at the right. */
  right?: readonly number[];
  /** Null: as wide as it is. */
  columns?: number | null;
}

const pad = (text: string, width: number, isRight: boolean): string => {
  const space = ' '.repeat(Math.max(0, width - widthOf(text)));
  return isRight ? space + text : text + space;
};

/** The widest gives way first, as long as the row is too wide. */
function fittingWidths(widths: readonly number[], columns: number): number[] {
  const fitting = [...widths];
  const wide = () => fitting.reduce((sum, width) => sum + width, GAP.length * (fitting.length - 1));
  while (wide() > columns) {
    const widest = fitting.indexOf(Math.max(...fitting));
    const width = fitting[widest] ?? 0;
    if (width <= LEAST_CELL) break;
    fitting[widest] = width - 1;
  }
  return fitting;
}

/** Columns as wide as their widest cell, less where the terminal is narrower: there long cells are cut. */
export function tableText(
  heads: readonly string[],
  rows: readonly (readonly (string | number)[])[],
  { right = [], columns = columnsOf() }: TableOptions = {},
): string {
  const cells = rows.map((row) => row.map(String));
  const titled = heads.some((head) => head !== '')
    ? [heads.map((head) => style('dim', head)), ...cells]
    : cells;
  const natural = heads.map((_, i) => Math.max(0, ...titled.map((row) => widthOf(row[i] ?? ''))));
  const widths = columns === null ? natural : fittingWidths(natural, columns);
  const line = (row: readonly string[]) =>
    row
      .map((cell, i) => pad(cut(cell, widths[i] ?? 0), widths[i] ?? 0, right.includes(i)))
      .join(GAP)
      .trimEnd();
  return titled.map(line).join('\n');
}

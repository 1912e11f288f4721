// The records of a CSV file with the line on which each begins. csv-parse reads them, in blocks of lines.
//
// A record usually is one line. A quoted field may hold line ends, so a block that does not read as one record a line
// is read record by record: a record takes the following lines while its quotes are open. That is bounded. If no closing
// quote is found, only the first of those lines is given up, not the rest of the file.
import { CsvError } from 'csv-parse';
import { parse } from 'csv-parse/sync';

export interface CsvRecord {
  /** From 1. */
  line: number;
  /** Or why there are none. */
  fields: string[] | string;
}

const MAX_LINE_CHARACTERS = 16_384;
const MAX_RECORD_LINES = 16;

/** Null for a line that is too long to be held. */
type Line = string | null;

/** The lines that each chunk completes, without their ends. */
async function* linesOf(chunks: AsyncIterable<string>): AsyncGenerator<Line[]> {
  let held: Line = '';
  for await (const chunk of chunks) {
    const pieces = chunk.split('\n');
    const lines: Line[] = [];
    for (const [i, piece] of pieces.entries()) {
      held = held === null || held.length + piece.length > MAX_LINE_CHARACTERS ? null : held + piece;
      if (i === pieces.length - 1) break;
      lines.push(withoutReturn(held));
      held = '';
    }
    yield lines;
  }
  if (held !== '') yield [withoutReturn(held)];
}

const withoutReturn = (line: Line): Line => (line?.endsWith('\r') ? line.slice(0, -1) : line);

export function parseFields(text: string, delimiter: string): string[][] {
  return parse(text, {
    delimiter,
    record_delimiter: '\n',
    bom: true,
    trim: true,
    relax_column_count: true,
  });
}

const NOT_CLOSED = 'a quote is opened and not closed';
const REASONS: Partial<Record<string, string>> = {
  CSV_QUOTE_NOT_CLOSED: NOT_CLOSED,
  CSV_INVALID_CLOSING_QUOTE: 'a quote is followed by something else than a separator',
  CSV_NON_TRIMABLE_CHAR_AFTER_CLOSING_QUOTE: 'a quote is followed by something else than a separator',
  INVALID_OPENING_QUOTE: 'a quote stands in the middle of a field',
};

const codeOf = (error: unknown): string | null => (error instanceof CsvError ? error.code : null);

/** Reads a stream of text once; holds one chunk, and the record that it ends in. */
export async function* csvRecords(
  chunks: AsyncIterable<string>,
  delimiterOf: (firstLine: string) => string,
): AsyncGenerator<CsvRecord[]> {
  let reader: BlockReader | undefined;
  for await (const lines of linesOf(chunks)) {
    if (lines.length === 0) continue;
    reader ??= new BlockReader(delimiterOf(lines[0] ?? ''));
    yield reader.read(lines);
  }
  if (reader !== undefined) yield reader.end();
}

class BlockReader {
  readonly #delimiter: string;
  /** Of a record whose end has not come yet. */
  #held: Line[] = [];
  #line = 1;
  /** Of the first record. */
  #width: number | undefined;

  constructor(delimiter: string) {
    this.#delimiter = delimiter;
  }

  read(lines: readonly Line[]): CsvRecord[] {
    const block = [...this.#held, ...lines];
    this.#held = [];
    return this.#simple(block) ?? this.#oneByOne(block, false);
  }

  end(): CsvRecord[] {
    return this.#oneByOne(this.#held, true);
  }

  /** One record a line; null where the block is not like that. */
  #simple(block: readonly Line[]): CsvRecord[] | null {
    if (block.includes(null)) return null;
    try {
      const rows = parseFields(block.map((line) => `${line}\n`).join(''), this.#delimiter);
      if (rows.length !== block.length) return null;
      this.#width ??= rows[0]?.length;
      return rows.map((fields) => ({ line: this.#line++, fields }));
    } catch (error) {
      if (codeOf(error) === null) throw error;
      return null;
    }
  }

  #oneByOne(block: readonly Line[], isEnd: boolean): CsvRecord[] {
    const records: CsvRecord[] = [];
    for (let at = 0; at < block.length; ) {
      const found = this.#recordAt(block, at, isEnd);
      if (found === 'unfinished') {
        this.#held = block.slice(at);
        break;
      }
      records.push({ line: this.#line, fields: found.fields });
      this.#line += found.lines;
      at += found.lines;
    }
    return records;
  }

  #recordAt(
    block: readonly Line[],
    at: number,
    isEnd: boolean,
  ): { fields: string[] | string; lines: number } | 'unfinished' {
    let text = block[at] ?? null;
    if (text === null) return { fields: `longer than ${MAX_LINE_CHARACTERS} characters`, lines: 1 };
    for (let lines = 1; ; lines++) {
      try {
        const fields = parseFields(`${text}\n`, this.#delimiter)[0] ?? [''];
        this.#width ??= fields.length;
        // Two stray quotes: what is between them is no field.
        if (lines > 1 && fields.length !== this.#width) return { fields: NOT_CLOSED, lines: 1 };
        return { fields, lines };
      } catch (error) {
        const code = codeOf(error);
        if (code === null) throw error;
        // In a later line: there stands another stray quote.
        const given = { fields: lines > 1 ? NOT_CLOSED : (REASONS[code] ?? code), lines: 1 };
        if (code !== 'CSV_QUOTE_NOT_CLOSED' || lines === MAX_RECORD_LINES) return given;
        if (at + lines === block.length) return isEnd ? given : 'unfinished';
        const next = block[at + lines] ?? null;
        if (next === null || text.length + next.length > MAX_LINE_CHARACTERS) return given;
        text = `${text}\n${next}`;
      }
    }
  }
}

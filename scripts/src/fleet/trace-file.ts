// A trace in a file, and an account of the rows in it that are no positions.
import { createReadStream, existsSync } from 'node:fs';
import { type MalformedLine, PositionCsv, PositionCsvError } from '@whereabouts/infra/position-csv';
import { UsageError } from '../usage-error.js';

const TOLD_LINES = 5;

export class TraceFile {
  readonly rows: PositionCsv;
  /** The first of the skipped rows. */
  readonly passedOver: MalformedLine[] = [];
  readonly #stream: ReturnType<typeof createReadStream>;

  constructor(readonly file: string) {
    if (!existsSync(file)) throw new UsageError(`There is no file ${file}.`);
    this.#stream = createReadStream(file, 'utf8');
    this.rows = new PositionCsv(this.#stream, (line) => {
      if (this.passedOver.length < TOLD_LINES) this.passedOver.push(line);
    });
  }

  get bytesRead(): number {
    return this.#stream.bytesRead;
  }

  /** Null where every row is a position. */
  passedOverText(): string | null {
    const count = this.rows.malformed;
    if (count === 0) return null;
    const told = this.passedOver.map(({ line, reason }) => `\n  line ${line}: ${reason}`);
    const more = count > told.length ? `\n  and ${count - told.length} more` : '';
    return `${count} ${count === 1 ? 'row is' : 'rows are'} skipped:${told.join('')}${more}`;
  }
}

/** A fault of a trace, worded for the user who gave it. */
export async function withTrace<T>(file: string, use: (trace: TraceFile) => Promise<T>): Promise<T> {
  const trace = new TraceFile(file);
  try {
    return await use(trace);
  } catch (error) {
    if (error instanceof PositionCsvError)
      throw new UsageError(`${file}: ${error.message}`, { cause: error });
    throw error;
  }
}

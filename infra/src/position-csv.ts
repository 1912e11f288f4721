// Traces of positions as CSV: `vehicle_id,unix_ms,lat,lon`, found by the names in the header line, in any order and
// among others. A line that is no position is told to `onMalformed`, counted and passed over: real traces have
// some. A file without the four names is no trace at all, and that is an error.
import { DRIVER_ID, PositionError, validatePosition } from './position.js';

export interface CsvPosition {
  vehicleId: string;
  unixMs: number;
  lat: number;
  lon: number;
}

export interface MalformedLine {
  /** 1 is the header. */
  line: number;
  reason: string;
}

export class PositionCsvError extends Error {
  readonly code = 'bad_header';
  override readonly name = 'PositionCsvError';
}

const COLUMNS = ['vehicle_id', 'unix_ms', 'lat', 'lon'] as const;
const MAX_LINE_CHARACTERS = 16_384;
const NUMBER = /^-?\d+(\.\d+)?([eE][+-]?\d+)?$/; // Number() also takes '', '0x1f' and 'Infinity'

type Places = Record<(typeof COLUMNS)[number] | 'fields', number>;

/** Reads a stream of text once, e.g. `createReadStream(path, 'utf8')`; holds one chunk and one line of it. */
export class PositionCsv implements AsyncIterable<CsvPosition> {
  readonly #chunks: AsyncIterable<string>;
  readonly #onMalformed: (malformed: MalformedLine) => void;
  #line = 0;
  #rows = 0;
  #malformed = 0;

  constructor(chunks: AsyncIterable<string>, onMalformed: (malformed: MalformedLine) => void = () => {}) {
    this.#chunks = chunks;
    this.#onMalformed = onMalformed;
  }

  /** Positions read so far. */
  get rows(): number {
    return this.#rows;
  }

  get malformed(): number {
    return this.#malformed;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<CsvPosition> {
    let places: Places | undefined;
    for await (const lines of linesOf(this.#chunks)) {
      for (const text of lines) {
        this.#line++;
        if (places === undefined) places = parseHeader(text ?? '');
        else if (text !== '') {
          const position = this.#parse(text, places);
          if (position !== undefined) yield position;
        }
      }
    }
    if (places === undefined) throw new PositionCsvError('the file is empty');
  }

  #parse(text: string | null, places: Places): CsvPosition | undefined {
    const parsed = text === null ? `longer than ${MAX_LINE_CHARACTERS} characters` : parseLine(text, places);
    if (typeof parsed !== 'string') {
      this.#rows++;
      return parsed;
    }
    this.#malformed++;
    this.#onMalformed({ line: this.#line, reason: parsed });
    return undefined;
  }
}

/** The lines that each chunk completes, without their ends; null for one that is too long to be held. */
async function* linesOf(chunks: AsyncIterable<string>): AsyncGenerator<(string | null)[]> {
  let held: string | null = '';
  for await (const chunk of chunks) {
    const pieces = chunk.split('\n');
    const lines: (string | null)[] = [];
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

function withoutReturn(line: string | null): string | null {
  return line?.endsWith('\r') ? line.slice(0, -1) : line;
}

function parseHeader(text: string): Places {
  const names = text
    .replace(/^\uFEFF/, '')
    .split(',')
    .map((name) => name.trim().toLowerCase());
  const missing = COLUMNS.filter((column) => !names.includes(column));
  if (missing.length > 0) {
    const found = JSON.stringify(text.slice(0, 80));
    throw new PositionCsvError(
      `line 1 must name the columns ${COLUMNS.join(', ')}: ${found} lacks ${missing.join(', ')}`,
    );
  }
  return {
    vehicle_id: names.indexOf('vehicle_id'),
    unix_ms: names.indexOf('unix_ms'),
    lat: names.indexOf('lat'),
    lon: names.indexOf('lon'),
    fields: names.length,
  };
}

/** The position, or the reason why there is none. */
function parseLine(text: string, places: Places): CsvPosition | string {
  const fields = text.split(',');
  if (fields.length !== places.fields) return `${fields.length} fields where the header has ${places.fields}`;
  const vehicleId = fields[places.vehicle_id]?.trim() ?? '';
  if (!DRIVER_ID.test(vehicleId)) return 'vehicle_id must be 1 to 64 of A-Z a-z 0-9 _ -';
  const unixMs = parseNumber(fields[places.unix_ms]);
  const lat = parseNumber(fields[places.lat]);
  const lon = parseNumber(fields[places.lon]);
  try {
    // What ingest would refuse is no trace of a driver.
    validatePosition({ seq: 1, recordedAtMs: unixMs, lat, lon }, vehicleId, 1);
  } catch (error) {
    if (error instanceof PositionError) return error.message.replace('recorded_at_ms', 'unix_ms');
    throw error;
  }
  return { vehicleId, unixMs, lat, lon };
}

function parseNumber(field: string | undefined): number {
  const text = field?.trim() ?? '';
  return NUMBER.test(text) ? Number(text) : Number.NaN;
}

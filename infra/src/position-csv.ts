// Traces of positions as CSV: `vehicle_id,unix_ms,lat,lon`. The columns are found by the names in the header line, in any
// order and among others. The separator is that of the header line: comma, semicolon, tab or bar. A row that is not a
// position is reported to `onMalformed`, counted and skipped: real traces have some. A file without the four names, or
// without one usable row, is an error.
import { CsvError } from 'csv-parse';
import { type CsvRecord, csvRecords, parseFields } from './csv-records.js';
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
  override readonly name = 'PositionCsvError';

  constructor(
    readonly code: 'bad_header' | 'no_positions',
    message: string,
  ) {
    super(message);
  }
}

const COLUMNS = ['vehicle_id', 'unix_ms', 'lat', 'lon'] as const;
const DELIMITERS = [',', ';', '\t', '|'];
const NUMBER = /^-?\d+(\.\d+)?([eE][+-]?\d+)?$/; // Number() also takes '', '0x1f' and 'Infinity'
/** If the comma is not the separator, some files use it as the decimal point. */
const DECIMAL_COMMA = /^(-?\d+),(\d+)$/;

/** What a time of our days is in other units, and no time of our days in milliseconds. */
const OTHER_UNITS = [
  { name: 'seconds', least: 1e9, most: 1e10 },
  { name: 'microseconds', least: 1e15, most: 1e16 },
  { name: 'nanoseconds', least: 1e18, most: 1e19 },
];

interface Header {
  places: Record<(typeof COLUMNS)[number], number>;
  fields: number;
  hasDecimalComma: boolean;
}

/** Reads a stream of text once, e.g. `createReadStream(path, 'utf8')`. */
export class PositionCsv implements AsyncIterable<CsvPosition> {
  readonly #chunks: AsyncIterable<string>;
  readonly #onMalformed: (malformed: MalformedLine) => void;
  #rows = 0;
  #malformed = 0;
  #firstMalformed: MalformedLine | undefined;

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
    let delimiter = ',';
    const delimiterOf = (firstLine: string) => {
      delimiter = bestDelimiter(firstLine);
      return delimiter;
    };
    let header: Header | undefined;
    for await (const records of csvRecords(this.#chunks, delimiterOf)) {
      for (const record of records) {
        if (header === undefined) header = headerOf(record, delimiter);
        else if (!isBlank(record)) {
          const position = this.#take(record, header);
          if (position !== null) yield position;
        }
      }
    }
    if (header === undefined) throw new PositionCsvError('bad_header', 'the file is empty');
    if (this.#rows === 0) throw new PositionCsvError('no_positions', this.#whyNone());
  }

  #take(record: CsvRecord, header: Header): CsvPosition | null {
    const found = positionOf(record.fields, header);
    if (typeof found !== 'string') {
      this.#rows++;
      return found;
    }
    const malformed = { line: record.line, reason: found };
    this.#malformed++;
    this.#firstMalformed ??= malformed;
    this.#onMalformed(malformed);
    return null;
  }

  #whyNone(): string {
    const first = this.#firstMalformed;
    if (first === undefined) return 'there is no row below the header';
    const passedOver = this.#malformed === 1 ? 'the only row' : `none of ${this.#malformed} rows`;
    const verb = this.#malformed === 1 ? 'is no position' : 'is a position';
    return `${passedOver} ${verb}; line ${first.line}: ${first.reason}`;
  }
}

const isBlank = ({ fields }: CsvRecord): boolean => fields.length === 1 && fields[0] === '';

function namesIn(line: string, delimiter: string): string[] {
  try {
    return (parseFields(line, delimiter)[0] ?? []).map((name) => name.toLowerCase());
  } catch (error) {
    if (error instanceof CsvError) return [];
    throw error;
  }
}

const columnsIn = (names: readonly string[]) => COLUMNS.filter((column) => names.includes(column)).length;

/** The one that separates most of the columns. */
function bestDelimiter(headerLine: string): string {
  const ranked = DELIMITERS.map((delimiter) => ({
    delimiter,
    found: columnsIn(namesIn(headerLine, delimiter)),
  }));
  ranked.sort((a, b) => b.found - a.found);
  return ranked[0]?.delimiter ?? ',';
}

function headerOf({ fields }: CsvRecord, delimiter: string): Header {
  if (typeof fields === 'string') throw new PositionCsvError('bad_header', `line 1: ${fields}`);
  const names = fields.map((name) => name.toLowerCase());
  const missing = COLUMNS.filter((column) => !names.includes(column));
  if (missing.length > 0) {
    const text = fields.join(delimiter);
    const hint = text.includes('\0') ? ' (the file is not UTF-8)' : '';
    throw new PositionCsvError(
      'bad_header',
      `line 1 must name the columns ${COLUMNS.join(', ')}: ${JSON.stringify(text.slice(0, 80))} lacks ` +
        `${missing.join(', ')}${hint}`,
    );
  }
  return {
    places: {
      vehicle_id: names.indexOf('vehicle_id'),
      unix_ms: names.indexOf('unix_ms'),
      lat: names.indexOf('lat'),
      lon: names.indexOf('lon'),
    },
    fields: names.length,
    hasDecimalComma: delimiter !== ',',
  };
}

/** The position, or the reason why there is none. */
function positionOf(fields: string[] | string, header: Header): CsvPosition | string {
  if (typeof fields === 'string') return fields;
  if (fields.length !== header.fields) {
    const count = fields.length === 1 ? '1 field' : `${fields.length} fields`;
    return `${count} where the header has ${header.fields}`;
  }
  const { places } = header;
  const vehicleId = fields[places.vehicle_id] as string;
  if (!DRIVER_ID.test(vehicleId)) return 'vehicle_id must be 1 to 64 of A-Z a-z 0-9 _ -';
  const unixMs = parseNumber(fields[places.unix_ms] as string);
  const unit = OTHER_UNITS.find(({ least, most }) => unixMs >= least && unixMs < most);
  if (unit !== undefined)
    return `unix_ms ${fields[places.unix_ms]} looks like ${unit.name}: give milliseconds`;
  const degrees = (place: number) => {
    const text = fields[place] as string;
    return parseNumber(header.hasDecimalComma ? text.replace(DECIMAL_COMMA, '$1.$2') : text);
  };
  const [lat, lon] = [degrees(places.lat), degrees(places.lon)];
  try {
    // What ingest would refuse is no trace of a driver.
    validatePosition({ seq: 1, recordedAtMs: unixMs, lat, lon }, vehicleId, 1);
  } catch (error) {
    if (error instanceof PositionError) return error.message.replace('recorded_at_ms', 'unix_ms');
    throw error;
  }
  return { vehicleId, unixMs, lat, lon };
}

const parseNumber = (text: string): number => (NUMBER.test(text) ? Number(text) : Number.NaN);

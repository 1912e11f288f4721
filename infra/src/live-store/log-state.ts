// What a partition's meta says, read from an answer of a function or from the hash itself. The layout stands in
// infra/redis/log.lua.
import { type EntryId, FIRST_ID, parseEntryId } from '../record.js';

/** Everything known of a partition is of this (incarnation, term, revision). */
export interface LogState {
  partition: number;
  /** Names the data: a new name means that the data began from nothing. '': nothing was written yet. */
  incarnation: string;
  /** The process that writes. */
  owner: string;
  term: number;
  /** By the node's clock. */
  beganAtMs: number;
  /** The revision at which this term began. Above it, what was acknowledged in the term before is lost. */
  base: number;
  /** The term before; 0: none. */
  previous: number;
  revision: number;
  /** Revision of the last entry of the log. */
  appended: number;
  /** No position that is not in Postgres is older than this; null: all are there. */
  dirtySinceMs: number | null;
  /** The last write or touch. */
  seenAtMs: number;
  accepted: number;
  logBytes: number;
  /** All up to this id is in Postgres, but for what it refused. */
  flushed: EntryId;
  flushedAtMs: number;
  /** Accepted when the last finished flush began. */
  acceptedAtFlush: number;
}

/** A state that a function told, with the node's own time. */
export interface ToldState extends LogState {
  nowMs: number;
}

/** The line of a term, read. */
interface Term {
  text: Buffer;
  mapHash: string;
  incarnation: string;
  owner: string;
  term: number;
  beganAtMs: number;
  base: number;
  previous: number;
}

interface Flushed {
  flushed: EntryId;
  flushedAtMs: number;
  acceptedAtFlush: number;
}

/** The line of a watermark, read. */
interface Watermark extends Flushed {
  text: Buffer;
}

interface Compacted {
  text: Buffer;
  id: EntryId;
}

/** Elements of a state at the head of an answer. */
export const STATE_SIZE = 2;
const EMPTY = Buffer.alloc(0);
const NO_TERM: Term = {
  ...{ text: EMPTY, mapHash: '', incarnation: '', owner: '' },
  ...{ term: 0, beganAtMs: 0, base: 0, previous: 0 },
};
const NO_WATERMARK: Watermark = { text: EMPTY, flushed: FIRST_ID, flushedAtMs: 0, acceptedAtFlush: 0 };
const NO_COMPACTED: Compacted = { text: EMPTY, id: FIRST_ID };
const COUNTS_BYTES = 48;
const NO_COUNTS = Buffer.alloc(COUNTS_BYTES);

/** Lines of meta, in the order in which readers ask for them. */
export const META_LINES = ['term', 'counts', 'watermark', 'compacted'] as const;

/** What the lines say; lines that are absent or cannot be read say what a partition begins with. */
export interface MetaAnswer {
  state: LogState;
  /** Names the text of the term's line: of two answers in a row that say the same, it is the same object. */
  termLine: object;
  /** The partition map that it was written under; null: nothing was written. */
  mapHash: string | null;
  /** Entries up to this id are in the snapshot alone. */
  compacted: EntryId;
}

export class LogStateReader {
  /** By partition: lines that change so rarely that their text is compared first. */
  readonly #terms: Term[] = [];
  readonly #watermarks: Watermark[] = [];
  readonly #compacted: Compacted[] = [];

  /** The head of an answer of a function. */
  told(partition: number, answer: readonly unknown[]): ToldState {
    const [text, numbers] = answer as [Buffer, Buffer];
    const state = stateOf(partition, this.#termOf(partition, text), numbers, {
      flushed: { term: numbers.readDoubleLE(56), revision: numbers.readDoubleLE(64) },
      flushedAtMs: numbers.readDoubleLE(72),
      acceptedAtFlush: numbers.readDoubleLE(80),
    });
    // The state is ours: to copy it costs more than all else of an answer.
    return Object.assign(state, { nowMs: numbers.readDoubleLE(48) });
  }

  /** The lines of META_LINES. */
  read(partition: number, lines: readonly (Buffer | null)[]): MetaAnswer {
    const [termLine, countsLine, watermarkLine, compactedLine] = lines;
    const term = termLine ? this.#termOf(partition, termLine) : NO_TERM;
    const counts = countsLine?.length === COUNTS_BYTES ? countsLine : NO_COUNTS;
    const watermark = watermarkLine ? this.#watermarkOf(partition, watermarkLine) : NO_WATERMARK;
    const compacted = compactedLine ? this.#compactedOf(partition, compactedLine) : NO_COMPACTED;
    return {
      state: stateOf(partition, term, counts, watermark),
      termLine: term,
      mapHash: term === NO_TERM ? null : term.mapHash,
      compacted: compacted.id,
    };
  }

  #termOf(partition: number, text: Buffer): Term {
    const known = this.#terms[partition];
    if (known?.text.equals(text)) return known;
    const [mapHash = '', incarnation = '', owner = '', term, beganAt, base, previous] = text
      .toString('latin1')
      .split(' ');
    const read = {
      text: copyOf(text),
      mapHash,
      incarnation,
      owner,
      term: Number(term ?? 0),
      beganAtMs: Number(beganAt ?? 0),
      base: Number(base ?? 0),
      previous: Number(previous ?? 0),
    };
    this.#terms[partition] = read;
    return read;
  }

  #watermarkOf(partition: number, text: Buffer): Watermark {
    const known = this.#watermarks[partition];
    if (known?.text.equals(text)) return known;
    const numbers = text.toString('latin1').split(' ').map(Number);
    const isWhole = numbers.length === 5 && numbers.every(Number.isSafeInteger);
    const [term, revision, flushedAtMs, , acceptedAtFlush] = (isWhole ? numbers : [0, 0, 0, 0, 0]) as [
      number,
      number,
      number,
      number,
      number,
    ];
    const read = { text: copyOf(text), flushed: { term, revision }, flushedAtMs, acceptedAtFlush };
    this.#watermarks[partition] = read;
    return read;
  }

  #compactedOf(partition: number, text: Buffer): Compacted {
    const known = this.#compacted[partition];
    if (known?.text.equals(text)) return known;
    const read = { text: copyOf(text), id: parseEntryId(text.toString('latin1')) ?? FIRST_ID };
    this.#compacted[partition] = read;
    return read;
  }
}

/** A line is a part of all that came with it, which would be kept too. */
const copyOf = (line: Buffer): Buffer => Buffer.from(line);

/** Above which revision all is lost that was acknowledged in (incarnation, term); -1: everything, null: nothing. */
export function lostAbove(
  known: Pick<LogState, 'incarnation' | 'term'>,
  now: Pick<LogState, 'incarnation' | 'term' | 'base' | 'previous'>,
): number | null {
  if (now.incarnation !== known.incarnation) return -1;
  if (now.term === known.term) return null;
  return now.previous === known.term ? now.base : -1;
}

/** `counts` begins with the six doubles of that line. Field by field, as a spread costs more than all the rest. */
function stateOf(partition: number, term: Term, counts: Buffer, flushed: Flushed): LogState {
  return {
    partition,
    incarnation: term.incarnation,
    owner: term.owner,
    term: term.term,
    beganAtMs: term.beganAtMs,
    base: term.base,
    previous: term.previous,
    revision: counts.readDoubleLE(0),
    appended: counts.readDoubleLE(8),
    dirtySinceMs: counts.readDoubleLE(16) || null,
    seenAtMs: counts.readDoubleLE(24),
    accepted: counts.readDoubleLE(32),
    logBytes: counts.readDoubleLE(40),
    flushed: flushed.flushed,
    flushedAtMs: flushed.flushedAtMs,
    acceptedAtFlush: flushed.acceptedAtFlush,
  };
}

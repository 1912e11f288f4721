// How the answers of the Lua functions read. Each starts with the partition's state, in this order.

import type { StoredPosition } from '../position.js';
import { decodeRecord, recordBytesAt } from '../position-record.js';

export interface PartitionState {
  partition: number;
  /** Names the data of the partition: another one means that it began from nothing. */
  epoch: string;
  /** Who writes the partition, since when: `<run id>@<ms>`. */
  reign: string;
  previous: string;
  /** The revision at which this reign began. */
  base: number;
  revision: number;
  flushed: number;
  /** The node's own time. */
  nowMs: number;
  seenAtMs: number;
  reignAtMs: number;
  /** No position that is not in Postgres is older than this; null: all are there. */
  dirtySinceMs: number | null;
}

export interface LivePosition extends StoredPosition {
  /** Postgres has this very record. */
  persisted: boolean;
}

/** `silent`: nobody fed the partition for 5 s; `warming`: its reign is younger than 2 s, so not surely healed. */
export type Health = 'ok' | 'silent' | 'warming';

export type Outcome =
  | 'accepted'
  | 'duplicate'
  | 'stale'
  | 'superseded'
  | 'clock_ahead'
  | 'bad'
  | 'too_many_checkpoints'
  | 'checkpoint_conflict';

const OUTCOMES: readonly [string, Outcome][] = [
  ['a', 'accepted'],
  ['d', 'duplicate'],
  ['s', 'stale'],
  ['o', 'superseded'],
  ['f', 'clock_ahead'],
  ['b', 'bad'],
  ['c', 'too_many_checkpoints'],
  ['x', 'checkpoint_conflict'],
];
/** By the letter's code. */
const OUTCOME_OF: Outcome[] = [];
for (const [letter, outcome] of OUTCOMES) OUTCOME_OF[letter.charCodeAt(0)] = outcome;

/** Elements of a state at the head of an answer. */
export const STATE_SIZE = 2;

/** Who reigns, as the last answer of a partition told it: it changes so rarely that its text is compared first. */
interface Reigning {
  text: Buffer;
  epoch: string;
  reign: string;
  base: number;
  previous: string;
}

export class StateReader {
  readonly #reigning: Reigning[] = [];

  read(partition: number, answer: readonly unknown[]): PartitionState {
    const [text, numbers] = answer as [Buffer, Buffer];
    const { epoch, reign, base, previous } = this.#reigningOf(partition, text);
    const dirtySinceMs = numbers.readDoubleLE(40);
    return {
      partition,
      epoch,
      reign,
      previous,
      base,
      revision: numbers.readDoubleLE(0),
      flushed: numbers.readDoubleLE(8),
      nowMs: numbers.readDoubleLE(16),
      seenAtMs: numbers.readDoubleLE(24),
      reignAtMs: numbers.readDoubleLE(32),
      dirtySinceMs: dirtySinceMs === 0 ? null : dirtySinceMs,
    };
  }

  #reigningOf(partition: number, text: Buffer): Reigning {
    const known = this.#reigning[partition];
    if (known?.text.equals(text)) return known;
    const [epoch, reign, base, previous] = text.toString('latin1').split(' ') as [
      string,
      string,
      string,
      string,
    ];
    // A copy, since the text is a part of all that came with it.
    const reigning = { text: Buffer.from(text), epoch, reign, base: Number(base), previous };
    this.#reigning[partition] = reigning;
    return reigning;
  }
}

/** `letters`: one for each record. */
export function decodeOutcomes(letters: Uint8Array): Outcome[] {
  const outcomes = new Array<Outcome>(letters.length);
  for (let i = 0; i < letters.length; i++) outcomes[i] = OUTCOME_OF[letters[i] as number] as Outcome;
  return outcomes;
}

export function decodeLive(driverId: string, record: Buffer, flushed: number): LivePosition {
  const position = decodeRecord(driverId, record);
  return Object.assign(position, { persisted: position.revision <= flushed && !position.quarantined });
}

/** `ids` with blanks between, and the record of each, one after the other. */
export function decodeJoined(ids: Buffer, records: Buffer, flushed: number): LivePosition[] {
  if (ids.length === 0) return [];
  let at = 0;
  return ids
    .toString('latin1')
    .split(' ')
    .map((id) => {
      const from = at;
      at += recordBytesAt(records, from);
      return decodeLive(id, records.subarray(from, at), flushed);
    });
}

/** Pairs of id and record. */
export function decodePairs<T>(pairs: readonly unknown[], decode: (id: string, record: Buffer) => T): T[] {
  const decoded: T[] = [];
  for (let i = 0; i + 1 < pairs.length; i += 2)
    decoded.push(decode(String(pairs[i]), pairs[i + 1] as Buffer));
  return decoded;
}

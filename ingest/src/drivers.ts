// What this process knows of each driver, in columns: one row, found by its slot, for each driver that is connected,
// has something to write, or could lose something that was acknowledged.
//
//   newest report   body, generation, session, seq, recorded at, and the partition of its place. It waits there to be
//                   written, or is on its way in a batch, or is acknowledged
//   acknowledged    which report of the driver stands in which log, under which term and revision
//   lost            the partition lost that one, and it waits to be written again
//
// Session and time identify a report. A generation identifies a connection of this process, so that a late answer cannot
// reach another one. Rows are bounded by the drivers who are connected, or were within a minute, or whose newest report
// is not in Postgres.

import { type Durability, MAX_SEQ, type NackCode } from '@whereabouts/client/protocol';
import { STATUSES } from '@whereabouts/infra/position';
import { AT, BODY_BYTES, type DecodedPosition, decodeBody, STATUS_BITS } from '@whereabouts/infra/record';
import type { Report } from './report.js';

/** A connection, as the recorder sees it. */
export interface Origin {
  readonly generation: number;
  /** Under which its reports are recorded. */
  readonly session: number;
  /**
   * The log has its report, which settles its seq and every earlier one that was not refused. `waitedMs`: since the first
   * of them came; 0 where that one was answered already.
   */
  accepted(seq: number, recordedAtMs: number, waitedMs: number, durability: Durability): void;
  /** Not now. It stays held all the same. */
  refused(seq: number, recordedAtMs: number, code: NackCode, retryAfterMs: number, detail: string): void;
  checkpointKept(seq: number, durability: Durability): void;
  /** `retryAfterMs` null: not retryable. */
  checkpointRefused(seq: number, code: NackCode, retryAfterMs: number | null, detail: string): void;
  /** It stands in Postgres. */
  checkpointPersisted(seq: number): void;
}

const FIRST_CAPACITY = 1024;
const NONE = -1;
const OFFLINE = STATUSES.indexOf('offline');

export class Drivers {
  readonly #slots = new Map<string, number>();
  readonly #ids: string[] = [];
  readonly #free: number[] = [];
  #capacity = FIRST_CAPACITY;
  #generation = 0;

  // Of the newest report. Do not hold a column across the creation of a row, which may replace the column.
  bodies = Buffer.alloc(FIRST_CAPACITY * BODY_BYTES);
  #view = viewOf(this.bodies);
  generations = new Float64Array(FIRST_CAPACITY);
  sessions = new Float64Array(FIRST_CAPACITY);
  seqs = new Uint32Array(FIRST_CAPACITY);
  /** 0: the driver has not reported yet. */
  recordedAtMs = new Float64Array(FIRST_CAPACITY);
  /** Of its place. */
  partitions = new Int32Array(FIRST_CAPACITY);
  /** The partition where it waits; -1: it does not wait. */
  waitsIn = new Int32Array(FIRST_CAPACITY);
  /** Its index in the list there. */
  waitsAt = new Int32Array(FIRST_CAPACITY);
  /** Monotonic: since when the oldest report waits that has no answer and is not in a batch; 0: none does. */
  sinceMs = new Float64Array(FIRST_CAPACITY);
  /** Batches that hold the row. */
  underWay = new Uint16Array(FIRST_CAPACITY);

  // Of the acknowledged report.
  ackedSessions = new Float64Array(FIRST_CAPACITY);
  ackedTimesMs = new Float64Array(FIRST_CAPACITY);
  /** -1: none is, or it was lost. */
  ackedIn = new Int32Array(FIRST_CAPACITY);
  ackedTerms = new Float64Array(FIRST_CAPACITY);
  ackedRevisions = new Float64Array(FIRST_CAPACITY);
  /** The partition that lost the newest report; -1: none did, or it has it again. */
  lostIn = new Int32Array(FIRST_CAPACITY);

  /** Monotonic: the last report, or the end of the last connection. */
  activeAtMs = new Float64Array(FIRST_CAPACITY);
  /** The driver's connection; null: none. */
  readonly origins: (Origin | null)[] = [];

  /** Drivers known. */
  get size(): number {
    return this.#slots.size;
  }

  /** Slots are below this. */
  get end(): number {
    return this.#ids.length;
  }

  newGeneration(): number {
    return ++this.#generation;
  }

  find(driverId: string): number | null {
    return this.#slots.get(driverId) ?? null;
  }

  idOf(slot: number): string {
    return this.#ids[slot] as string;
  }

  slotOf(driverId: string, nowMs: number): number {
    const known = this.#slots.get(driverId);
    if (known !== undefined) return known;
    const slot = this.#free.pop() ?? this.#ids.length;
    if (slot === this.#capacity) this.#grow();
    this.#slots.set(driverId, slot);
    this.#ids[slot] = driverId;
    this.origins[slot] = null;
    this.recordedAtMs[slot] = 0;
    this.waitsIn[slot] = NONE;
    this.sinceMs[slot] = 0;
    this.ackedSessions[slot] = 0;
    this.ackedTimesMs[slot] = 0;
    this.ackedIn[slot] = NONE;
    this.lostIn[slot] = NONE;
    this.activeAtMs[slot] = nowMs;
    return slot;
  }

  /** Nothing refers to the row any more. */
  release(slot: number): void {
    this.#slots.delete(this.idOf(slot));
    this.#ids[slot] = '';
    this.recordedAtMs[slot] = 0;
    this.#free.push(slot);
  }

  isUsed(slot: number): boolean {
    return this.#ids[slot] !== '';
  }

  detach(slot: number, origin: Origin, nowMs: number): void {
    if (this.origins[slot] !== origin) return;
    this.origins[slot] = null;
    this.activeAtMs[slot] = nowMs;
  }

  /** The newest report of the driver from now on, whatever was before: a newer connection counts for more. */
  put(slot: number, origin: Origin, report: Report, nowMs: number): void {
    const at = slot * BODY_BYTES;
    const { bodies } = this;
    const { body } = report;
    for (let i = 0; i < BODY_BYTES; i++) bodies[at + i] = body[i] as number;
    this.#setSession(slot, origin.session);
    // No connection waits for what another one sent.
    if (this.sinceMs[slot] === 0 || this.generations[slot] !== origin.generation) this.sinceMs[slot] = nowMs;
    this.generations[slot] = origin.generation;
    this.seqs[slot] = report.seq;
    this.recordedAtMs[slot] = report.recordedAtMs;
    this.activeAtMs[slot] = nowMs;
  }

  /**
   * The driver goes offline, at the last known place and later than the last report, whatever the clocks say. Returns the
   * time of that record. `of`: the connection that left.
   */
  putOffline(slot: number, of: Departure, storeNowMs: number, nowMs: number): number {
    const recordedAtMs = Math.max(Math.floor(storeNowMs), (this.recordedAtMs[slot] as number) + 1);
    const seq = Math.min(of.seq, MAX_SEQ);
    const at = slot * BODY_BYTES;
    this.bodies.writeUIntLE(recordedAtMs, at + AT.recordedAt, 6);
    this.bodies.writeUInt32LE(seq, at + AT.seq);
    const status = this.bodies[at + AT.statusAndFlags] as number;
    this.bodies[at + AT.statusAndFlags] = (status & ~STATUS_BITS) | OFFLINE;
    // The same connection may have another session by now.
    if (this.generations[slot] !== of.generation) this.#setSession(slot, of.session);
    this.generations[slot] = of.generation;
    this.seqs[slot] = seq;
    this.recordedAtMs[slot] = recordedAtMs;
    this.activeAtMs[slot] = nowMs;
    if (this.sinceMs[slot] === 0) this.sinceMs[slot] = nowMs;
    return recordedAtMs;
  }

  /** The connection's session is another one now. Returns whether the newest report has to be written under it. */
  renumber(slot: number, origin: Origin): boolean {
    if (!this.hasReported(slot) || this.generations[slot] !== origin.generation) return false;
    if (this.sessions[slot] === origin.session) return false;
    this.#setSession(slot, origin.session);
    return true;
  }

  hasReported(slot: number): boolean {
    return this.recordedAtMs[slot] !== 0;
  }

  isOffline(slot: number): boolean {
    return ((this.bodies[slot * BODY_BYTES + AT.statusAndFlags] as number) & STATUS_BITS) === OFFLINE;
  }

  latE7(slot: number): number {
    return this.#view.getInt32(slot * BODY_BYTES + AT.lat, true);
  }

  lonE7(slot: number): number {
    return this.#view.getInt32(slot * BODY_BYTES + AT.lon, true);
  }

  /** Whether this is the newest report. */
  isNewest(slot: number, session: number, recordedAtMs: number): boolean {
    return this.sessions[slot] === session && this.recordedAtMs[slot] === recordedAtMs;
  }

  /** The newest report stands in a log. */
  isAcknowledged(slot: number): boolean {
    return (
      this.ackedIn[slot] !== NONE &&
      this.ackedSessions[slot] === this.sessions[slot] &&
      this.ackedTimesMs[slot] === this.recordedAtMs[slot]
    );
  }

  /** Notes where a report was written, if it is not older than the noted one. */
  acknowledge(
    slot: number,
    session: number,
    recordedAtMs: number,
    at: { partition: number; term: number; revision: number },
  ): boolean {
    const known = this.ackedSessions[slot] as number;
    const isOlder =
      session < known || (session === known && recordedAtMs < (this.ackedTimesMs[slot] as number));
    if (isOlder && !this.isNewest(slot, session, recordedAtMs)) return false;
    this.ackedSessions[slot] = session;
    this.ackedTimesMs[slot] = recordedAtMs;
    this.ackedIn[slot] = at.partition;
    this.ackedTerms[slot] = at.term;
    this.ackedRevisions[slot] = at.revision;
    return true;
  }

  /** Whether the acknowledged report stands in that very entry. */
  standsAt(slot: number, at: { partition: number; term: number; revision: number }): boolean {
    return (
      this.ackedIn[slot] === at.partition &&
      this.ackedTerms[slot] === at.term &&
      this.ackedRevisions[slot] === at.revision
    );
  }

  /** For people and tests. */
  positionOf(slot: number): DecodedPosition {
    const at = slot * BODY_BYTES;
    return decodeBody(this.idOf(slot), Buffer.from(this.bodies.subarray(at, at + BODY_BYTES)));
  }

  #setSession(slot: number, session: number): void {
    const at = slot * BODY_BYTES + AT.session;
    this.#view.setUint32(at, session % 2 ** 32, true);
    this.#view.setUint16(at + 4, session / 2 ** 32, true);
    this.sessions[slot] = session;
  }

  #grow(): void {
    this.#capacity *= 2;
    const capacity = this.#capacity;
    const bodies = Buffer.alloc(capacity * BODY_BYTES);
    this.bodies.copy(bodies);
    this.bodies = bodies;
    this.#view = viewOf(bodies);
    this.generations = larger(this.generations, new Float64Array(capacity));
    this.sessions = larger(this.sessions, new Float64Array(capacity));
    this.seqs = larger(this.seqs, new Uint32Array(capacity));
    this.recordedAtMs = larger(this.recordedAtMs, new Float64Array(capacity));
    this.partitions = larger(this.partitions, new Int32Array(capacity));
    this.waitsIn = larger(this.waitsIn, new Int32Array(capacity));
    this.waitsAt = larger(this.waitsAt, new Int32Array(capacity));
    this.sinceMs = larger(this.sinceMs, new Float64Array(capacity));
    this.underWay = larger(this.underWay, new Uint16Array(capacity));
    this.ackedSessions = larger(this.ackedSessions, new Float64Array(capacity));
    this.ackedTimesMs = larger(this.ackedTimesMs, new Float64Array(capacity));
    this.ackedIn = larger(this.ackedIn, new Int32Array(capacity));
    this.ackedTerms = larger(this.ackedTerms, new Float64Array(capacity));
    this.ackedRevisions = larger(this.ackedRevisions, new Float64Array(capacity));
    this.lostIn = larger(this.lostIn, new Int32Array(capacity));
    this.activeAtMs = larger(this.activeAtMs, new Float64Array(capacity));
  }
}

/** A connection that left, and the seq that follows its last one. */
export interface Departure {
  readonly generation: number;
  readonly session: number;
  readonly seq: number;
}

function viewOf(bytes: Buffer): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function larger<C extends Float64Array | Int32Array | Uint32Array | Uint16Array>(column: C, into: C): C {
  into.set(column);
  return into;
}

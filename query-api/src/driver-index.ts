// The newest position of every driver, in columns. Each driver has a slot, which is reused when the driver leaves.
//
//   newest    the greatest (session, recorded-at); of equal ones the later entry, as a healed record comes again
//   listed    drivers that are on duty, fresh and not from the archive are in the grid of their status
//   LOST      the store no longer has this record, so Postgres may never have it
//   UNSEEN    its partition is being read anew; it is not yet known whether the store still has the record
//
//  Nothing reports deletions. Drivers leave by the age rule that the flusher sweeps by: `lookAtAges`.

import type { RecordSink } from '@whereabouts/infra/follower/record-sink';
import { KEEP_RESTORED_MS } from '@whereabouts/infra/live-store/log-limits';
import { STATUSES } from '@whereabouts/infra/position';
import {
  AT,
  type EntryId,
  FLAGS,
  isReadable,
  readI32,
  readU16,
  readU48,
  STATUS_BITS,
} from '@whereabouts/infra/record';
import { AdaptiveGrid } from './adaptive-grid.js';

const FIRST_CAPACITY = 1 << 10;
const LOST = 1;
const UNSEEN = 2;
const OFFLINE = STATUSES.indexOf('offline');
const NOBODY = 0xffff;
/** A position stays listed this much longer than it is fresh, so that a driver whose clock is behind is not missed. */
const LISTED_SLACK_MS = 5_000;

export interface DriverIndexOptions {
  partitions: number;
  freshnessMs: number;
  /** The flusher's value: records that are older, and in Postgres, leave the store. */
  sweepAfterMs: number;
  isFlushed(partition: number, driverId: string, term: number, revision: number): boolean;
}

/** Drivers of a partition, by the code of their status. */
export type StatusCounts = readonly [offline: number, available: number, busy: number];

export class DriverIndex implements RecordSink {
  /** A root for each status; that of `offline` stays empty. */
  readonly grid = new AdaptiveGrid(STATUSES.length);
  latE7 = new Int32Array(0);
  lonE7 = new Int32Array(0);
  recordedAtMs = new Float64Array(0);
  services = new Uint16Array(0);
  headingCdeg = new Uint16Array(0);
  speedCmps = new Uint16Array(0);
  accuracyDm = new Uint16Array(0);
  statusAndFlags = new Uint8Array(0);
  readonly #options: DriverIndexOptions;
  readonly #slots = new Map<string, number>();
  readonly #ids: string[] = [];
  readonly #free: number[] = [];
  #session = new Float64Array(0);
  #term = new Float64Array(0);
  #revision = new Float64Array(0);
  #partition = new Uint16Array(0);
  #marks = new Uint8Array(0);
  readonly #counts: Int32Array;
  readonly #beingRead = new Set<number>();
  #nextAge = 0;

  constructor(options: DriverIndexOptions) {
    this.#options = options;
    this.#counts = new Int32Array(options.partitions * STATUSES.length);
    this.#grow(FIRST_CAPACITY);
  }

  get drivers(): number {
    return this.#slots.size;
  }

  /** Slots below this may be taken. */
  get slotsUsed(): number {
    return this.#ids.length;
  }

  /** Bytes of the columns and the grid; names and their map come on top. */
  get bytes(): number {
    return this.grid.bytes + this.#columns().reduce((sum, { byteLength }) => sum + byteLength, 0);
  }

  slotOf(driverId: string): number | undefined {
    return this.#slots.get(driverId);
  }

  idOf(slot: number): string {
    return this.#ids[slot] as string;
  }

  isListed(slot: number): boolean {
    return this.grid.has(slot);
  }

  isPersisted(slot: number): boolean {
    if (this.#marks[slot] !== 0) return false;
    const partition = this.#partition[slot] as number;
    const [term, revision] = [this.#term[slot] as number, this.#revision[slot] as number];
    return this.#options.isFlushed(partition, this.idOf(slot), term, revision);
  }

  isArchived(slot: number): boolean {
    return ((this.statusAndFlags[slot] as number) & FLAGS.archived) !== 0;
  }

  countsOf(partition: number): StatusCounts {
    const first = partition * STATUSES.length;
    return [...this.#counts.subarray(first, first + STATUSES.length)] as unknown as StatusCounts;
  }

  /** What is known of a driver's record, for comparison: its order and its place. */
  recordOf(driverId: string) {
    const slot = this.#slots.get(driverId);
    if (slot === undefined) return null;
    return {
      session: this.#session[slot] as number,
      recordedAtMs: this.recordedAtMs[slot] as number,
      latE7: this.latE7[slot] as number,
      lonE7: this.lonE7[slot] as number,
      partition: this.#partition[slot] as number,
      id: { term: this.#term[slot] as number, revision: this.#revision[slot] as number },
      isLost: this.#marks[slot] !== 0,
    };
  }

  driverIds(): IterableIterator<string> {
    return this.#slots.keys();
  }

  take(
    partition: number,
    driverId: string,
    bytes: Buffer,
    bodyAt: number,
    bodyEnd: number,
    id: EntryId,
  ): boolean {
    if (!isReadable(bytes, bodyAt, bodyEnd)) return false;
    const session = readU48(bytes, bodyAt + AT.session);
    const recordedAtMs = readU48(bytes, bodyAt + AT.recordedAt);
    let slot = this.#slots.get(driverId);
    if (slot === undefined) slot = this.#newcomer(driverId);
    else {
      const known = this.#session[slot] as number;
      const knownAtMs = this.recordedAtMs[slot] as number;
      if (session < known || (session === known && recordedAtMs < knownAtMs)) return true;
      if (session === known && recordedAtMs === knownAtMs && !this.#isLater(slot, id)) return true;
    }
    this.#session[slot] = session;
    this.recordedAtMs[slot] = recordedAtMs;
    this.#term[slot] = id.term;
    this.#revision[slot] = id.revision;
    this.#marks[slot] = 0;
    this.#store(slot, partition, bytes, bodyAt);
    return true;
  }

  lost(partition: number, term: number, above: number): void {
    const [partitions, terms, revisions, marks] = [this.#partition, this.#term, this.#revision, this.#marks];
    for (let slot = 0; slot < this.slotsUsed; slot++) {
      if (partitions[slot] !== partition || terms[slot] !== term) continue;
      if ((revisions[slot] as number) > above) marks[slot] = (marks[slot] as number) | LOST;
    }
  }

  readAnew(partition: number): void {
    this.#beingRead.add(partition);
    for (let slot = 0; slot < this.slotsUsed; slot++) {
      if (this.#partition[slot] === partition) this.#marks[slot] = (this.#marks[slot] as number) | UNSEEN;
    }
  }

  settled(partition: number): void {
    if (!this.#beingRead.delete(partition)) return;
    for (let slot = 0; slot < this.slotsUsed; slot++) {
      if (this.#partition[slot] === partition && ((this.#marks[slot] as number) & UNSEEN) !== 0)
        this.#marks[slot] = LOST;
    }
  }

  /** Examines a number of slots in turn. A driver whose position is too old is delisted, or leaves. */
  lookAtAges(count: number, nowMs: number): void {
    const { freshnessMs } = this.#options;
    const used = this.slotsUsed;
    for (let i = 0; i < Math.min(count, used); i++) {
      if (this.#nextAge >= used) this.#nextAge = 0;
      const slot = this.#nextAge++;
      if (this.#partition[slot] === NOBODY) continue;
      const ageMs = nowMs - (this.recordedAtMs[slot] as number);
      if (ageMs <= freshnessMs + LISTED_SLACK_MS) continue;
      if (this.grid.has(slot)) this.grid.remove(slot);
      if (this.#mayLeave(slot, ageMs)) this.#leave(slot);
    }
  }

  /** A lost record need not be kept: the store does not have it. */
  #mayLeave(slot: number, ageMs: number): boolean {
    const { sweepAfterMs } = this.#options;
    const keptMs = this.isArchived(slot) ? Math.max(sweepAfterMs, KEEP_RESTORED_MS) : sweepAfterMs;
    return ageMs > keptMs && (((this.#marks[slot] as number) & LOST) !== 0 || this.isPersisted(slot));
  }

  /** For a record equal to the known one. If the known one is in doubt, this one is what the store has. */
  #isLater(slot: number, { term, revision }: EntryId): boolean {
    if (this.#marks[slot] !== 0) return true;
    const known = this.#term[slot] as number;
    return term === known ? revision > (this.#revision[slot] as number) : term > known;
  }

  #store(slot: number, partition: number, bytes: Buffer, bodyAt: number): void {
    const statusAndFlags = bytes[bodyAt + AT.statusAndFlags] as number;
    const before = (this.statusAndFlags[slot] as number) & STATUS_BITS;
    const status = statusAndFlags & STATUS_BITS;
    const from = this.#partition[slot] as number;
    if (from !== partition || before !== status) {
      if (from !== NOBODY) this.#count(from, before, -1);
      this.#count(partition, status, 1);
      this.#partition[slot] = partition;
    }
    this.latE7[slot] = readI32(bytes, bodyAt + AT.lat);
    this.lonE7[slot] = readI32(bytes, bodyAt + AT.lon);
    this.headingCdeg[slot] = readU16(bytes, bodyAt + AT.heading);
    this.speedCmps[slot] = readU16(bytes, bodyAt + AT.speed);
    this.accuracyDm[slot] = readU16(bytes, bodyAt + AT.accuracy);
    this.services[slot] = readU16(bytes, bodyAt + AT.services);
    this.statusAndFlags[slot] = statusAndFlags;
    this.#list(slot, before, status);
  }

  #list(slot: number, before: number, status: number): void {
    const latE7 = this.latE7[slot] as number;
    const lonE7 = this.lonE7[slot] as number;
    const services = this.services[slot] as number;
    const isListed = status !== OFFLINE && !this.isArchived(slot);
    if (this.grid.has(slot)) {
      if (isListed && before === status && this.grid.move(slot, latE7, lonE7, services)) return;
      this.grid.remove(slot);
    }
    if (isListed) this.grid.insert(status, slot, latE7, lonE7, services);
  }

  #newcomer(driverId: string): number {
    const slot = this.#free.pop() ?? this.#ids.length;
    if (slot === this.#session.length) this.#grow(2 * slot);
    this.#ids[slot] = driverId;
    this.#slots.set(driverId, slot);
    this.#partition[slot] = NOBODY;
    this.statusAndFlags[slot] = 0;
    return slot;
  }

  #leave(slot: number): void {
    this.#count(this.#partition[slot] as number, (this.statusAndFlags[slot] as number) & STATUS_BITS, -1);
    this.#slots.delete(this.idOf(slot));
    this.#ids[slot] = '';
    this.#partition[slot] = NOBODY;
    this.#marks[slot] = 0;
    this.#free.push(slot);
  }

  #count(partition: number, status: number, by: number): void {
    const at = partition * STATUSES.length + status;
    this.#counts[at] = (this.#counts[at] as number) + by;
  }

  #columns() {
    return [
      ...[this.latE7, this.lonE7, this.recordedAtMs, this.services, this.headingCdeg, this.speedCmps],
      ...[this.accuracyDm, this.statusAndFlags, this.#session, this.#term, this.#revision],
      ...[this.#partition, this.#marks],
    ];
  }

  #grow(capacity: number): void {
    this.latE7 = grown(this.latE7, new Int32Array(capacity));
    this.lonE7 = grown(this.lonE7, new Int32Array(capacity));
    this.recordedAtMs = grown(this.recordedAtMs, new Float64Array(capacity));
    this.services = grown(this.services, new Uint16Array(capacity));
    this.headingCdeg = grown(this.headingCdeg, new Uint16Array(capacity));
    this.speedCmps = grown(this.speedCmps, new Uint16Array(capacity));
    this.accuracyDm = grown(this.accuracyDm, new Uint16Array(capacity));
    this.statusAndFlags = grown(this.statusAndFlags, new Uint8Array(capacity));
    this.#session = grown(this.#session, new Float64Array(capacity));
    this.#term = grown(this.#term, new Float64Array(capacity));
    this.#revision = grown(this.#revision, new Float64Array(capacity));
    this.#partition = grown(this.#partition, new Uint16Array(capacity));
    this.#marks = grown(this.#marks, new Uint8Array(capacity));
    this.grid.grow(capacity);
  }
}

function grown<T extends Uint8Array | Uint16Array | Int32Array | Float64Array>(from: T, into: T): T {
  into.set(from);
  return into;
}

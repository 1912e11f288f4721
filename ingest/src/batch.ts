// One log entry in flight: the packed records, and which report of which row each one is. It is a copy, because rows change
// while it is in flight.

import { BatchWriter, BODY_BYTES } from '@whereabouts/infra/record';
import type { Drivers } from './drivers.js';

const FIRST_CAPACITY = 16;

export class Batch {
  readonly #writer = new BatchWriter();
  slots = new Int32Array(FIRST_CAPACITY);
  generations = new Float64Array(FIRST_CAPACITY);
  sessions = new Float64Array(FIRST_CAPACITY);
  seqs = new Uint32Array(FIRST_CAPACITY);
  recordedAtMs = new Float64Array(FIRST_CAPACITY);
  /** Since when the oldest report waits that this record answers; 0: none does. */
  sinceMs = new Float64Array(FIRST_CAPACITY);

  get count(): number {
    return this.#writer.count;
  }

  /** Copies the newest report of a row, and holds the row until `release`. */
  add(drivers: Drivers, slot: number): void {
    const i = this.count;
    if (i === this.slots.length) this.#grow();
    this.#writer.addBody(drivers.idOf(slot), drivers.bodies, slot * BODY_BYTES);
    this.slots[i] = slot;
    this.generations[i] = drivers.generations[slot] as number;
    this.sessions[i] = drivers.sessions[slot] as number;
    this.seqs[i] = drivers.seqs[slot] as number;
    this.recordedAtMs[i] = drivers.recordedAtMs[slot] as number;
    this.sinceMs[i] = drivers.sinceMs[slot] as number;
    drivers.sinceMs[slot] = 0;
    drivers.underWay[slot] = (drivers.underWay[slot] as number) + 1;
  }

  bytes(): Buffer {
    return this.#writer.bytes();
  }

  release(drivers: Drivers): void {
    for (let i = 0; i < this.count; i++) {
      const slot = this.slots[i] as number;
      drivers.underWay[slot] = (drivers.underWay[slot] as number) - 1;
    }
    this.#writer.reset();
  }

  #grow(): void {
    const capacity = 2 * this.slots.length;
    const copy = <C extends Int32Array | Float64Array | Uint32Array>(from: C, into: C): C => {
      into.set(from);
      return into;
    };
    this.slots = copy(this.slots, new Int32Array(capacity));
    this.generations = copy(this.generations, new Float64Array(capacity));
    this.sessions = copy(this.sessions, new Float64Array(capacity));
    this.seqs = copy(this.seqs, new Uint32Array(capacity));
    this.recordedAtMs = copy(this.recordedAtMs, new Float64Array(capacity));
    this.sinceMs = copy(this.sinceMs, new Float64Array(capacity));
  }
}

/** Batches that were released are used again. Bounded by the calls that were ever under way at once. */
export class BatchPool {
  readonly #free: Batch[] = [];
  #underWay = 0;

  /** Batches that hold rows. */
  get underWay(): number {
    return this.#underWay;
  }

  take(): Batch {
    this.#underWay++;
    return this.#free.pop() ?? new Batch();
  }

  giveBack(batch: Batch, drivers: Drivers): void {
    batch.release(drivers);
    this.#underWay--;
    this.#free.push(batch);
  }
}

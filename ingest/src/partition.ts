// One partition, as this process knows it: which rows wait to be written there, what is known of its term and revision,
// and whether it may be written to now.
//
//   steady        every round is written
//   healing       the same, while rows that a new term lost wait here
//   backing_off   the last write failed: one call at a time, after a pause that grows, until one is answered
//   unreachable   its node does not show that it takes writes: nothing is sent
//
// One round of calls is under way at a time, so that what comes back unwritten meets nothing newer of its own partition.

import assert from 'node:assert/strict';
import { type LogState, lostAbove, type ToldState } from '@whereabouts/infra/live-store/log-state';
import { StoreError } from '@whereabouts/infra/live-store/store-error';
import { Backoff } from '@whereabouts/infra/service/backoff';
import type { Drivers } from './drivers.js';

export type PartitionStatus = 'steady' | 'unreachable' | 'backing_off' | 'healing';

const MAY_FOLLOW: Record<PartitionStatus, readonly PartitionStatus[]> = {
  steady: ['unreachable', 'backing_off', 'healing'],
  unreachable: ['steady', 'healing'],
  backing_off: ['steady', 'unreachable', 'healing'],
  healing: ['steady', 'unreachable', 'backing_off'],
};
// A slot that moves or a full memory is tried again soon. Where everything is refused, one call in about 400 ms is.
const BACKOFF = { firstMs: 25, limitMs: 500 };
const FIRST_CAPACITY = 16;

/** A partition answered under another state than was known. */
export interface TermChange {
  state: LogState;
  /** What was acknowledged above this revision is lost; -1: everything, null: nothing. */
  above: number | null;
}

export class Partition {
  readonly number: number;
  readonly #drivers: Drivers;
  readonly #onTermChange: (partition: Partition, change: TermChange) => void;
  readonly #backoff = new Backoff(BACKOFF);
  #status: PartitionStatus = 'steady';
  #known: LogState | null = null;
  /** The last answer that told the node's time too. */
  #told: ToldState | null = null;
  #answeredAtMs = Number.NEGATIVE_INFINITY;
  #writesUnderWay = 0;
  #isRefusing = false;
  #lost = 0;
  // Slots that wait, the oldest first; -1 for one that was removed. Rows know their index.
  #slots = new Int32Array(FIRST_CAPACITY);
  #first = 0;
  #end = 0;
  #waiting = 0;

  constructor(
    number: number,
    drivers: Drivers,
    onTermChange: (partition: Partition, change: TermChange) => void,
  ) {
    this.number = number;
    this.#drivers = drivers;
    this.#onTermChange = onTermChange;
  }

  get status(): PartitionStatus {
    return this.#status;
  }

  /** The newest state that any answer told. */
  get known(): LogState | null {
    return this.#known;
  }

  get told(): ToldState | null {
    return this.#told;
  }

  /** Monotonic: of the last write or touch. */
  get answeredAtMs(): number {
    return this.#answeredAtMs;
  }

  get isBusy(): boolean {
    return this.#writesUnderWay > 0;
  }

  /** It refused the last write with an error that is not known. */
  get isRefusing(): boolean {
    return this.#isRefusing;
  }

  // ---- rows that wait

  get waiting(): number {
    return this.#waiting;
  }

  add(slot: number): void {
    const { waitsIn, waitsAt } = this.#drivers;
    assert.equal(waitsIn[slot], -1, 'a row waits in one partition');
    if (this.#end === this.#slots.length) this.#makeRoom();
    this.#slots[this.#end] = slot;
    waitsIn[slot] = this.number;
    waitsAt[slot] = this.#end++;
    this.#waiting++;
  }

  remove(slot: number): void {
    const { waitsIn, waitsAt } = this.#drivers;
    assert.equal(waitsIn[slot], this.number, 'the row waits here');
    this.#slots[waitsAt[slot] as number] = -1;
    waitsIn[slot] = -1;
    this.#waiting--;
  }

  /** Removes the slot that has waited longest; -1: none waits. */
  shift(): number {
    while (this.#first < this.#end) {
      const slot = this.#slots[this.#first++] as number;
      if (slot === -1) continue;
      this.#drivers.waitsIn[slot] = -1;
      this.#waiting--;
      return slot;
    }
    this.#first = 0;
    this.#end = 0;
    return -1;
  }

  /** `use` may take no row out. */
  eachWaiting(use: (slot: number) => void): void {
    for (let i = this.#first; i < this.#end; i++) {
      const slot = this.#slots[i] as number;
      if (slot !== -1) use(slot);
    }
  }

  // ---- whether it may be written to

  /** To be told at each tick: whether its node shows that it takes writes. */
  reached(isReachable: boolean): void {
    if (!isReachable && this.#status !== 'unreachable') this.#move('unreachable');
    if (!isReachable || this.#status !== 'unreachable') return;
    this.#backoff.succeeded();
    this.#move(this.#lost > 0 ? 'healing' : 'steady');
  }

  mayWrite(nowMs: number): boolean {
    if (this.#writesUnderWay > 0 || this.#status === 'unreachable') return false;
    return this.#status !== 'backing_off' || this.#backoff.mayTry(nowMs);
  }

  /** A row that it lost waits here again (1), or need not be written any more (-1). */
  countLost(by: 1 | -1): void {
    this.#lost += by;
    if (this.#lost > 0 && this.#status === 'steady') this.#move('healing');
    else if (this.#lost === 0 && this.#status === 'healing') this.#move('steady');
  }

  // ---- calls

  /** A call whose answer has the partition's state, which is compared with the known one. */
  async call<A extends { state: LogState }>(send: () => Promise<A>): Promise<A> {
    const asked = this.#known;
    const answer = await send();
    this.#heard(answer.state, asked);
    return answer;
  }

  /** The same for a write of a round: it decides whether more may follow. */
  async write<A extends { state: ToldState }>(send: () => Promise<A>): Promise<A> {
    this.#writesUnderWay++;
    try {
      const answer = await this.call(send);
      this.#answeredAtMs = performance.now();
      this.#told = answer.state;
      this.#isRefusing = false;
      this.#backoff.succeeded();
      if (this.#status === 'backing_off') this.#move(this.#lost > 0 ? 'healing' : 'steady');
      return answer;
    } catch (error) {
      if (error instanceof StoreError) this.#failed(error);
      throw error;
    } finally {
      this.#writesUnderWay--;
    }
  }

  /** Whether an answer is of the term that is the newest known. */
  isCurrent(state: LogState): boolean {
    return state.term === this.#known?.term && state.incarnation === this.#known.incarnation;
  }

  #failed(error: StoreError): void {
    this.#isRefusing = error.code === 'refused';
    // The calls of one round fail together, and count once.
    if (this.#status === 'backing_off' && !this.#backoff.mayTry(performance.now())) return;
    this.#backoff.failed(performance.now());
    if (this.#status !== 'unreachable' && this.#status !== 'backing_off') this.#move('backing_off');
  }

  /** `asked`: what was known when the call was sent. */
  #heard(state: LogState, asked: LogState | null): void {
    const seen = this.#known;
    if (seen !== null && seen !== asked && isEarlier(state, seen, asked)) return;
    this.#known = state;
    if (seen === null) return;
    if (state.term !== seen.term || state.incarnation !== seen.incarnation)
      this.#onTermChange(this, { state, above: lostAbove(seen, state) });
    // What was there when we asked is gone: the node was given older data.
    else if (state.revision < seen.revision) this.#onTermChange(this, { state, above: state.revision });
  }

  #makeRoom(): void {
    const roomy = 2 * this.#waiting < this.#slots.length;
    const slots = roomy ? this.#slots : new Int32Array(2 * this.#slots.length);
    let end = 0;
    this.eachWaiting((slot) => {
      slots[end] = slot;
      this.#drivers.waitsAt[slot] = end++;
    });
    this.#slots = slots;
    this.#first = 0;
    this.#end = end;
  }

  #move(to: PartitionStatus): void {
    assert.ok(MAY_FOLLOW[this.#status].includes(to), `a partition that is ${this.#status} becomes ${to}`);
    this.#status = to;
  }
}

/**
 * Answers of several calls may cross. An answer with an older state, to a call made before `seen` was known, is ignored.
 * A term usually is the node's time; if its clock was set back, the next call shows it.
 */
function isEarlier(state: LogState, seen: LogState, asked: LogState | null): boolean {
  if (state.incarnation !== seen.incarnation)
    return state.incarnation === asked?.incarnation || state.term < seen.term;
  return state.term === seen.term ? state.revision < seen.revision : state.term < seen.term;
}

// Checkpoints that Postgres does not have yet, as far as this process knows. A checkpoint's identity is its driver and its
// id: sent again over any number of connections it is one, and the last connection that sent it gets `persisted`.
//
//   waits ──▶ under way ──▶ kept ──▶ in Postgres, or in conflict with what is there
//     ▲           │          │
//     └─ no answer┴── lost ──┘
//
// In the term that took a checkpoint: if it no longer waits, it is in Postgres. What a new term lost waits to be written
// again. Bounded by ten for each driver, because the edge refuses more.

import { MAX_WAITING_CHECKPOINTS, type NackCode } from '@whereabouts/client/protocol';
import { checkpointField } from '@whereabouts/infra/live-store/log-keys';
import type { LogState } from '@whereabouts/infra/live-store/log-state';
import type { CheckpointOutcome, LogStore } from '@whereabouts/infra/live-store/log-store';
import { StoreError } from '@whereabouts/infra/live-store/store-error';
import type { Position } from '@whereabouts/infra/position';
import { Backoff } from '@whereabouts/infra/service/backoff';
import type { Origin } from './drivers.js';
import type { Partition, TermChange } from './partition.js';

interface Checkpoint {
  readonly field: string;
  /** Of its place. */
  readonly partition: number;
  /** As it was sent last. */
  position: Position;
  origin: Origin;
  standing: 'waits' | 'under_way' | 'kept';
  /** Monotonic: since when its driver waits for an answer; 0: it has one. */
  sinceMs: number;
  /** Where it is kept: the state's term and revision. */
  term: number;
  revision: number;
}

/** Of one partition. */
interface Place {
  readonly backoff: Backoff;
  waiting: Checkpoint[];
  /** The one that was looked at longest ago comes first. */
  readonly kept: Set<Checkpoint>;
  isWriting: boolean;
  isLooking: boolean;
  isRefusing: boolean;
}

/** Of one call. */
const MAX_WRITTEN = 256;
const MAX_LOOKED_AT = 512;
const BACKOFF = { firstMs: 50, limitMs: 1000 };
const RETRY_AFTER_MS = 1000;
const REFUSALS = {
  too_many: ['too_many_checkpoints', `${MAX_WAITING_CHECKPOINTS} checkpoints wait already`],
  conflict: ['checkpoint_conflict', 'a checkpoint of this id was taken at another place or time'],
} as const satisfies Record<string, readonly [NackCode, string]>;

export class Checkpoints {
  readonly #store: LogStore;
  readonly #partitions: readonly Partition[];
  readonly #places: Place[];
  readonly #byField = new Map<string, Checkpoint>();
  /** By the driver's id, the ids of its checkpoints. */
  readonly #ofDriver = new Map<string, Set<string>>();
  /** Seen in Postgres. */
  persisted = 0;
  readonly outcomes: Record<CheckpointOutcome, number> = {
    accepted: 0,
    duplicate: 0,
    conflict: 0,
    too_many: 0,
  };
  #underWay = 0;

  constructor(store: LogStore, partitions: readonly Partition[]) {
    this.#store = store;
    this.#partitions = partitions;
    this.#places = partitions.map(() => ({
      backoff: new Backoff(BACKOFF),
      waiting: [],
      kept: new Set(),
      isWriting: false,
      isLooking: false,
      isRefusing: false,
    }));
  }

  get size(): number {
    return this.#byField.size;
  }

  /** Not in the store yet, or not again. */
  get waiting(): number {
    return this.#places.reduce((sum, { waiting }) => sum + waiting.length, 0);
  }

  /** Calls without an answer, and answers that have not been told. */
  get underWay(): number {
    return this.#underWay;
  }

  isRefusing(partition: number): boolean {
    return this.#place(partition).isRefusing;
  }

  /** Of a driver, besides the one of that id. */
  countOf(driverId: string, besidesId: string): number {
    const ids = this.#ofDriver.get(driverId);
    return ids === undefined ? 0 : ids.size - (ids.has(besidesId) ? 1 : 0);
  }

  /** False: it is refused, as another checkpoint of its id is known. */
  submit(position: Position, origin: Origin, partition: number, nowMs: number): boolean {
    const field = checkpointField(position);
    const known = this.#byField.get(field);
    if (known === undefined) {
      this.#add({
        field,
        partition,
        position,
        origin,
        standing: 'waits',
        sinceMs: nowMs,
        term: 0,
        revision: 0,
      });
      return true;
    }
    if (!isSame(known.position, position)) {
      refuse(origin, position, 'conflict');
      return false;
    }
    known.position = position;
    known.origin = origin;
    known.sinceMs = nowMs;
    if (known.standing === 'kept') this.#waitAgain(known);
    return true;
  }

  /** Writes what waits in a partition, as far as that may be. */
  write(partition: Partition, nowMs: number): void {
    const place = this.#place(partition.number);
    if (place.waiting.length === 0 || place.isWriting || partition.status === 'unreachable') return;
    if (!place.backoff.mayTry(nowMs)) return;
    const page = place.waiting.splice(0, MAX_WRITTEN);
    for (const one of page) one.standing = 'under_way';
    void this.#write(partition, place, page);
  }

  /** Those whose driver has waited since then without an answer. */
  nackHeld(partition: number, sinceMs: number, detail: string): void {
    for (const one of this.#place(partition).waiting) {
      if (one.sinceMs <= sinceMs) this.#nack(one, 'region_unavailable', detail);
    }
  }

  /** Whether those that are kept are in Postgres by now. */
  look(): void {
    for (const [number, place] of this.#places.entries()) {
      const partition = this.#partitions[number] as Partition;
      if (place.kept.size > 0 && !place.isLooking && partition.status !== 'unreachable')
        void this.#look(partition, place);
    }
  }

  /** A new term lacks what was acknowledged above that revision. */
  termChanged(partition: number, { state, above }: TermChange): void {
    for (const one of [...this.#place(partition).kept]) {
      if (above === null || one.revision <= above) one.term = state.term;
      else this.#waitAgain(one);
    }
  }

  #place(partition: number): Place {
    return this.#places[partition] as Place;
  }

  #add(one: Checkpoint): void {
    const { driverId, checkpointId } = one.position;
    this.#byField.set(one.field, one);
    const ids = this.#ofDriver.get(driverId) ?? new Set();
    this.#ofDriver.set(driverId, ids.add(checkpointId as string));
    this.#place(one.partition).waiting.push(one);
  }

  #waitAgain(one: Checkpoint): void {
    const place = this.#place(one.partition);
    place.kept.delete(one);
    one.standing = 'waits';
    place.waiting.push(one);
  }

  #remove(one: Checkpoint): void {
    this.#byField.delete(one.field);
    this.#place(one.partition).kept.delete(one);
    const { driverId, checkpointId } = one.position;
    const ids = this.#ofDriver.get(driverId);
    ids?.delete(checkpointId as string);
    if (ids?.size === 0) this.#ofDriver.delete(driverId);
  }

  async #write(partition: Partition, place: Place, page: readonly Checkpoint[]): Promise<void> {
    place.isWriting = true;
    this.#underWay++;
    try {
      const { state, outcomes, replicated } = await partition.call(() =>
        this.#store.checkpoint(
          partition.number,
          page.map(({ position }) => position),
        ),
      );
      place.isWriting = false;
      place.isRefusing = false;
      place.backoff.succeeded();
      const kept = page.filter((one, i) =>
        this.#settle(one, outcomes[i] as CheckpointOutcome, partition, state),
      );
      const isReplicated = replicated !== null && (await replicated);
      for (const one of kept) this.#tellKept(one, isReplicated);
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      place.isWriting = false;
      this.#failed(place, page, error);
    } finally {
      this.#underWay--;
    }
  }

  /** Returns whether the driver should be notified that it is kept. */
  #settle(one: Checkpoint, outcome: CheckpointOutcome, partition: Partition, state: LogState): boolean {
    const place = this.#place(one.partition);
    this.outcomes[outcome]++;
    if (outcome === 'conflict') {
      this.#remove(one);
      refuse(one.origin, one.position, 'conflict');
    } else if (outcome === 'too_many' && one.revision === 0) {
      this.#remove(one);
      refuse(one.origin, one.position, 'too_many');
    } else if (outcome === 'too_many') {
      // It was taken once: there will be room again. Behind the others, so that it does not keep them.
      this.#waitAgain(one);
      place.backoff.failed(performance.now());
    } else if (!partition.isCurrent(state)) {
      this.#waitAgain(one);
    } else {
      one.standing = 'kept';
      one.term = state.term;
      one.revision = state.revision;
      place.kept.add(one);
      return true;
    }
    return false;
  }

  #tellKept(one: Checkpoint, isReplicated: boolean): void {
    // Lost again, or sent again, while it was not known whether the replicas have it.
    if (one.standing !== 'kept') return;
    one.sinceMs = 0;
    one.origin.checkpointKept(one.position.seq, isReplicated ? 'replicated' : 'cache');
  }

  #failed(place: Place, page: readonly Checkpoint[], error: StoreError): void {
    place.backoff.failed(performance.now());
    place.isRefusing = error.code === 'refused';
    for (const one of page) {
      this.#waitAgain(one);
      if (error.code === 'overloaded') this.#nack(one, 'overloaded', 'the region takes no more');
      else if (error.code === 'map_mismatch') this.#nack(one, 'not_ready', 'another partition map is in use');
    }
  }

  /** It stays held. */
  #nack(one: Checkpoint, code: NackCode, detail: string): void {
    if (one.sinceMs === 0) return;
    one.sinceMs = 0;
    one.origin.checkpointRefused(one.position.seq, code, RETRY_AFTER_MS, detail);
  }

  async #look(partition: Partition, place: Place): Promise<void> {
    const page = [...place.kept].slice(0, MAX_LOOKED_AT);
    place.isLooking = true;
    try {
      const fields = page.map(({ field }) => field);
      const { state, standings } = await partition.call(() =>
        this.#store.checkpointStandings(partition.number, fields),
      );
      for (const [i, one] of page.entries()) {
        // Under another term, or from a node that has not even got it, an absence says nothing.
        const isTelling =
          one.standing === 'kept' && one.term === state.term && one.revision <= state.revision;
        if (!isTelling) continue;
        if (standings[i] === 'waits') {
          place.kept.delete(one);
          place.kept.add(one);
        } else this.#ended(partition, one, standings[i] === 'conflict');
      }
    } catch (error) {
      // It is looked at again at its next turn.
      if (!(error instanceof StoreError)) throw error;
    } finally {
      place.isLooking = false;
    }
  }

  #ended(partition: Partition, one: Checkpoint, isConflict: boolean): void {
    this.#remove(one);
    if (!isConflict) {
      this.persisted++;
      one.origin.checkpointPersisted(one.position.seq);
      return;
    }
    refuse(one.origin, one.position, 'conflict');
    // Its driver has been told, so the store need not remember. If that fails the flusher clears it in time.
    partition
      .call(async () => ({ state: await this.#store.checkpointsDone(partition.number, [one.field]) }))
      .catch((error) => {
        if (!(error instanceof StoreError)) throw error;
      });
  }
}

/** One that comes at another place or time under the same id is another checkpoint. */
function isSame(a: Position, b: Position): boolean {
  return a.recordedAtMs === b.recordedAtMs && a.latE7 === b.latE7 && a.lonE7 === b.lonE7;
}

function refuse(origin: Origin, { seq }: Position, why: keyof typeof REFUSALS): void {
  const [code, detail] = REFUSALS[why];
  origin.checkpointRefused(seq, code, null, detail);
}

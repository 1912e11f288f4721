// Checkpoints that Redis has and Postgres has not, as far as this process knows. Under the reign that took a
// checkpoint, one that waits no more is committed; under a new reign it may just have been lost, so it is recorded
// again first.

import type { PartitionState } from '@whereabouts/infra/live-store/answers';
import { checkpointField } from '@whereabouts/infra/live-store/keys';
import type { Position } from '@whereabouts/infra/position';
import type { Origin } from './origin.js';

export interface WatchedCheckpoint {
  position: Position;
  origin: Origin | null;
  /** As the live store names it. */
  field: string;
  /** The state of the answer that took it. */
  state: PartitionState;
  lost: boolean;
}

const NONE: ReadonlySet<string> = new Set();

export class CheckpointWatch {
  readonly #partitions = new Map<number, Map<string, WatchedCheckpoint>>();
  readonly #perDriver = new Map<string, Set<string>>();

  get size(): number {
    let size = 0;
    for (const watched of this.#partitions.values()) size += watched.size;
    return size;
  }

  /** By their ids. */
  ofDriver(driverId: string): ReadonlySet<string> {
    return this.#perDriver.get(driverId) ?? NONE;
  }

  partitions(): Iterable<number> {
    return this.#partitions.keys();
  }

  add(position: Position, origin: Origin | null, state: PartitionState, lost: boolean): void {
    const { driverId } = position;
    const field = checkpointField(position);
    const watched = this.#partitions.get(state.partition) ?? new Map<string, WatchedCheckpoint>();
    this.#partitions.set(state.partition, watched);
    const ids = this.#perDriver.get(driverId) ?? new Set<string>();
    ids.add(position.checkpointId as string);
    this.#perDriver.set(driverId, ids);
    watched.set(field, { position, origin, field, state, lost });
  }

  /** At most `max` of those that may have reached Postgres. */
  waiting(partition: number, max: number): WatchedCheckpoint[] {
    return this.#select(partition, false, max);
  }

  /** At most `max` of those to record again. */
  lost(partition: number, max: number): WatchedCheckpoint[] {
    return this.#select(partition, true, max);
  }

  lose(partition: number, above: number): void {
    for (const one of this.#partitions.get(partition)?.values() ?? []) {
      if (one.state.revision > above) one.lost = true;
    }
  }

  recordedAgain(one: WatchedCheckpoint, state: PartitionState): void {
    one.state = state;
    one.lost = false;
  }

  /** It stays lost, behind the others of its partition. */
  postpone(one: WatchedCheckpoint): void {
    const watched = this.#partitions.get(one.state.partition);
    if (watched?.delete(one.field)) watched.set(one.field, one);
  }

  remove(one: WatchedCheckpoint): void {
    const watched = this.#partitions.get(one.state.partition);
    if (!watched?.delete(one.field)) return;
    if (watched.size === 0) this.#partitions.delete(one.state.partition);
    const { driverId, checkpointId } = one.position;
    const ids = this.#perDriver.get(driverId);
    ids?.delete(checkpointId as string);
    if (ids?.size === 0) this.#perDriver.delete(driverId);
  }

  #select(partition: number, lost: boolean, max: number): WatchedCheckpoint[] {
    const selected: WatchedCheckpoint[] = [];
    for (const one of this.#partitions.get(partition)?.values() ?? []) {
      if (selected.length >= max) break;
      if (one.lost === lost) selected.push(one);
    }
    return selected;
  }
}

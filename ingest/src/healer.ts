// What this process acknowledged and could record again, and what a new reign lacks of it.
//
// Everything known of a partition is (epoch, reign, revision). While the reign stands, what it acknowledged is there.
// Where a new one begins, it says under which reign it followed (previous) and up to which revision it has it (base):
//
//   epoch new                      everything is lost
//   previous is the reign known    lost is what was acknowledged above base
//   previous is another            a reign passed unseen: everything is lost
//   reign known, revision smaller  the node lost its place and got it back: lost is what is above its revision
//
// A position that is recorded again although it is there is harmless (newer wins), so doubt counts as lost.

import type { PartitionState } from '@whereabouts/infra/live-store/answers';
import { isNewer, type Position } from '@whereabouts/infra/position';

export interface Known {
  position: Position;
  partition: number;
  /** Under the partition's standing reign. */
  revision: number;
  acknowledgedAtMs: number;
}

export interface Loss {
  state: PartitionState;
  /** What the new reign lacks, of what this process acknowledged. */
  known: Known[];
  /** All that it acknowledged above this revision is gone. */
  above: number;
}

/** A driver who left is healed for so long, and until Postgres has the position. */
const KEEP_MS = 60_000;

/** The revision above which all is lost when `seen` is followed by `state`; null: nothing is. */
function lostAbove(seen: PartitionState, state: PartitionState, revisionNow: number): number | null {
  if (state.epoch !== seen.epoch) return -1;
  if (state.reign === seen.reign) return revisionNow < seen.revision ? revisionNow : null;
  return state.previous === seen.reign ? state.base : -1;
}

export class Healer {
  readonly #known = new Map<string, Known>();
  readonly #standings = new Map<number, PartitionState>();
  readonly #lost = new Map<number, Map<string, Known>>();
  readonly #onLoss: (loss: Loss) => void;

  constructor(onLoss: (loss: Loss) => void) {
    this.#onLoss = onLoss;
  }

  get size(): number {
    return this.#known.size;
  }

  known(driverId: string): Known | undefined {
    return this.#known.get(driverId);
  }

  standing(partition: number): PartitionState | undefined {
    return this.#standings.get(partition);
  }

  standings(): Iterable<PartitionState> {
    return this.#standings.values();
  }

  /**
   * Takes in a state that an answer told. `askedAt` is the standing when the call was sent (answers of two connections
   * may cross), `wrote` whether the call itself made the state's newest revision.
   */
  observe(state: PartitionState, askedAt: PartitionState | undefined, wrote: boolean): void {
    const seen = this.#standings.get(state.partition);
    if (seen && isEarlier(state, seen)) return;
    if (seen) {
      const revisionNow = wrote ? state.revision - 1 : state.revision;
      const fellBack = askedAt?.reign === state.reign && revisionNow < askedAt.revision;
      const crossed = state.reign === seen.reign && !fellBack;
      if (crossed && state.revision < seen.revision) return;
      const above = crossed ? null : lostAbove(seen, state, revisionNow);
      if (above !== null) this.#lose(state, above);
    }
    this.#standings.set(state.partition, state);
  }

  /** Keeps what was acknowledged by an answer with this state, if it is the driver's newest. */
  remember(position: Position, state: PartitionState, nowMs: number): void {
    const known = this.#known.get(position.driverId);
    if (known && isNewer(known.position, position)) return;
    const { partition, revision } = state;
    const kept = position.checkpoint ? { ...position, checkpoint: false, checkpointId: null } : position;
    const entry = { position: kept, partition, revision, acknowledgedAtMs: nowMs };
    this.#known.set(position.driverId, entry);
    if (known) this.#lost.get(known.partition)?.delete(position.driverId);
    if (this.isLost(state)) this.#queue(entry);
  }

  /** Whether what was acknowledged by an answer with this state is known to be gone again. */
  isLost(state: PartitionState): boolean {
    const standing = this.#standings.get(state.partition);
    if (!standing || standing.reign === state.reign) return false;
    const above = lostAbove(state, standing, standing.revision);
    return above !== null && state.revision > above;
  }

  hasLost(partition: number): boolean {
    return (this.#lost.get(partition)?.size ?? 0) > 0;
  }

  lostCount(): number {
    let count = 0;
    for (const lost of this.#lost.values()) count += lost.size;
    return count;
  }

  partitionsWithLost(): Iterable<number> {
    return this.#lost.keys();
  }

  /** Those to record again, at most `max`; they stay queued until `healed`. */
  lostOf(partition: number, max: number): Known[] {
    const lost = this.#lost.get(partition);
    return lost ? [...lost.values()].slice(0, max) : [];
  }

  /** They stand in the store again, or something newer does. */
  healed(entries: readonly Known[], state: PartitionState): void {
    const lost = this.#lost.get(state.partition);
    for (const entry of entries) {
      entry.revision = state.revision;
      const { driverId } = entry.position;
      if (lost?.get(driverId) === entry && !this.isLost(state)) lost.delete(driverId);
    }
    if (lost?.size === 0) this.#lost.delete(state.partition);
  }

  /** Lets go of who has been silent for a minute and whose position is in Postgres. */
  forgetOld(nowMs: number): void {
    for (const [driverId, known] of this.#known) {
      if (nowMs - known.acknowledgedAtMs < KEEP_MS) continue;
      const flushed = this.#standings.get(known.partition)?.flushed ?? 0;
      if (known.revision <= flushed && !this.#lost.get(known.partition)?.has(driverId))
        this.#known.delete(driverId);
    }
  }

  #lose(state: PartitionState, above: number): void {
    const known: Known[] = [];
    for (const entry of this.#known.values()) {
      if (entry.partition !== state.partition || entry.revision <= above) continue;
      known.push(entry);
      this.#queue(entry);
    }
    this.#onLoss({ state, known, above });
  }

  #queue(entry: Known): void {
    const lost = this.#lost.get(entry.partition);
    if (lost) lost.set(entry.position.driverId, entry);
    else this.#lost.set(entry.partition, new Map([[entry.position.driverId, entry]]));
  }
}

/** An answer of a reign that has ended, come late. */
function isEarlier(state: PartitionState, seen: PartitionState): boolean {
  return state.reign !== seen.reign && state.epoch === seen.epoch && state.reignAtMs < seen.reignAtMs;
}

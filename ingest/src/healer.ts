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
import { type Driver, type Fleet, isKnown, type KnownDriver } from './fleet.js';

/** A position that a new reign lacks, and the driver whose newest it is. */
export interface Lacking {
  driver: KnownDriver;
  position: Position;
}

export interface Loss {
  state: PartitionState;
  /** What the new reign lacks, of what this process acknowledged. */
  known: KnownDriver[];
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
  readonly #fleet: Fleet;
  readonly #standings = new Map<number, PartitionState>();
  /** By partition: drivers whose position is to be recorded again. */
  readonly #lost = new Map<number, Set<KnownDriver>>();
  readonly #onLoss: (loss: Loss) => void;
  #size = 0;

  constructor(fleet: Fleet, onLoss: (loss: Loss) => void) {
    this.#fleet = fleet;
    this.#onLoss = onLoss;
  }

  /** Drivers whose position is kept. */
  get size(): number {
    return this.#size;
  }

  standing(partition: number): PartitionState | undefined {
    return this.#standings.get(partition);
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
  remember(driver: Driver, position: Position, state: PartitionState, nowMs: number): void {
    if (driver.position === null) this.#size++;
    else if (isNewer(driver.position, position)) return;
    else this.#lost.get(driver.partition)?.delete(driver as KnownDriver);
    driver.position = position.checkpoint ? { ...position, checkpoint: false, checkpointId: null } : position;
    driver.partition = state.partition;
    driver.revision = state.revision;
    driver.acknowledgedAtMs = nowMs;
    if (this.isLost(state)) this.#queue(driver as KnownDriver);
  }

  /** Whether what was acknowledged by an answer with this state is known to be gone again. */
  isLost(state: PartitionState): boolean {
    const standing = this.#standings.get(state.partition);
    if (!standing || standing.reign === state.reign) return false;
    const above = lostAbove(state, standing, standing.revision);
    return above !== null && state.revision > above;
  }

  partitionsWithLost(): Iterable<number> {
    return this.#lost.keys();
  }

  /** What is to be recorded again, at most `max`; it stays queued until `healed`. */
  lostOf(partition: number, max: number): Lacking[] {
    const lacking: Lacking[] = [];
    for (const driver of this.#lost.get(partition) ?? []) {
      if (lacking.length === max) break;
      lacking.push({ driver, position: driver.position });
    }
    return lacking;
  }

  /** They stand in the store again, or something newer does. */
  healed(lacking: readonly Lacking[], state: PartitionState): void {
    const lost = this.#lost.get(state.partition);
    for (const { driver, position } of lacking) {
      if (driver.position !== position) continue; // has reported since
      driver.revision = state.revision;
      if (!this.isLost(state)) lost?.delete(driver);
    }
    if (lost?.size === 0) this.#lost.delete(state.partition);
  }

  /** It stays lost, behind the others of its partition. */
  postpone(partition: number, { driver }: Lacking): void {
    const lost = this.#lost.get(partition);
    if (lost?.delete(driver)) lost.add(driver);
  }

  /** It is not to be recorded again. */
  giveUp(partition: number, { driver, position }: Lacking): void {
    if (driver.position !== position) return; // has reported since
    const lost = this.#lost.get(partition);
    lost?.delete(driver);
    if (lost?.size === 0) this.#lost.delete(partition);
    driver.revision = 0;
  }

  /** Lets go of who has been silent for a minute and whose position is in Postgres. */
  forgetOld(nowMs: number): void {
    this.#fleet.forEach((driver, driverId) => {
      if (nowMs - driver.acknowledgedAtMs < KEEP_MS || driver.waiting !== null) return;
      if (isKnown(driver)) {
        const flushed = this.#standings.get(driver.partition)?.flushed ?? 0;
        if (driver.revision > flushed || this.#lost.get(driver.partition)?.has(driver)) return;
        this.#size--;
      }
      this.#fleet.letGo(driverId, driver);
    });
  }

  #lose(state: PartitionState, above: number): void {
    const known: KnownDriver[] = [];
    this.#fleet.forEach((driver) => {
      if (!isKnown(driver) || driver.partition !== state.partition || driver.revision <= above) return;
      known.push(driver);
      this.#queue(driver);
    });
    this.#onLoss({ state, known, above });
  }

  #queue(driver: KnownDriver): void {
    const lost = this.#lost.get(driver.partition);
    if (lost) lost.add(driver);
    else this.#lost.set(driver.partition, new Set([driver]));
  }
}

/** An answer of a reign that has ended, come late. */
function isEarlier(state: PartitionState, seen: PartitionState): boolean {
  return state.reign !== seen.reign && state.epoch === seen.epoch && state.reignAtMs < seen.reignAtMs;
}

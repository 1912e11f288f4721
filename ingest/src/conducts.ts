// The conduct of every connected driver, and of drivers who have left, as long as it matters. So limits apply to a driver
// and not to a connection: a reconnect does not reset them.
//
// Bounded: a driver who has left is forgotten when the record no longer matters; above `limit`, the one who left first.
import { Conduct, type ConductLimits } from './conduct.js';

/** Of those who have left, looked at in one turn. */
const LOOKS_AT_ONCE = 500;

export class Conducts {
  readonly #limits: ConductLimits;
  readonly #limit: number;
  readonly #byDriver = new Map<string, Conduct>();
  /** Drivers without a connection, who left first first. */
  readonly #left = new Set<string>();

  constructor(limits: ConductLimits, limit: number) {
    this.#limits = limits;
    this.#limit = limit;
  }

  get size(): number {
    return this.#byDriver.size;
  }

  find(driverId: string): Conduct | undefined {
    return this.#byDriver.get(driverId);
  }

  of(driverId: string, nowMs: number): Conduct {
    const known = this.#byDriver.get(driverId);
    if (known) return known;
    const added = new Conduct(this.#limits, nowMs);
    this.#byDriver.set(driverId, added);
    // Until it is connected, it counts as a driver who has left.
    this.left(driverId);
    return added;
  }

  connected(driverId: string): void {
    this.#left.delete(driverId);
  }

  left(driverId: string): void {
    this.#left.delete(driverId);
    this.#left.add(driverId);
    if (this.#left.size <= this.#limit) return;
    const [first] = this.#left as Iterable<string>;
    this.#forget(first as string);
  }

  /** About once a second. */
  forgetRested(nowMs: number): void {
    let looks = Math.min(LOOKS_AT_ONCE, this.#left.size);
    for (const driverId of this.#left) {
      if (looks-- === 0) return;
      if (this.#byDriver.get(driverId)?.isAtRest(nowMs)) this.#forget(driverId);
      else {
        // To the end, so that the next turn looks at others.
        this.#left.delete(driverId);
        this.#left.add(driverId);
      }
    }
  }

  #forget(driverId: string): void {
    this.#left.delete(driverId);
    this.#byDriver.delete(driverId);
  }
}

// Drivers whose connection dropped without a bye. A driver who is not back in time is recorded as offline.
//
// All wait equally long, so they become due in the order in which they left. A Map keeps that order and is the whole
// queue. It is bounded: above the limit, the driver who is absent longest is recorded early.

import type { Departure } from './drivers.js';

interface Waiting {
  readonly departure: Departure;
  readonly dueAtMs: number;
}

export class Absences {
  readonly #waiting = new Map<string, Waiting>();
  readonly #afterMs: number;
  readonly #limit: number;

  constructor(afterMs: number, limit: number) {
    this.#afterMs = afterMs;
    this.#limit = limit;
  }

  get size(): number {
    return this.#waiting.size;
  }

  left(driverId: string, departure: Departure, nowMs: number): void {
    // Deleted first, as a key that is set again keeps its old place.
    this.#waiting.delete(driverId);
    this.#waiting.set(driverId, { departure, dueAtMs: nowMs + this.#afterMs });
  }

  returned(driverId: string): void {
    this.#waiting.delete(driverId);
  }

  /** Hands over drivers who were absent long enough, or exceed the limit. */
  takeDue(nowMs: number, record: (driverId: string, departure: Departure) => void): void {
    for (const [driverId, { departure, dueAtMs }] of this.#waiting) {
      if (dueAtMs > nowMs && this.#waiting.size <= this.#limit) return;
      this.#waiting.delete(driverId);
      record(driverId, departure);
    }
  }
}

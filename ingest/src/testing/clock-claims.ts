// Sessions of this process alone: the store's time, and never the same twice.
import type { ClaimingConnection, SessionClaims } from '../claiming-connection.js';

export class ClockClaims implements SessionClaims {
  readonly #processId: string;
  readonly #nowMs: () => number;
  readonly #byDriver = new Map<string, ClaimingConnection>();
  #connections = 0;
  #last = 0;

  constructor(processId: string, nowMs: () => number) {
    this.#processId = processId;
    this.#nowMs = nowMs;
  }

  newConnectionId(): string {
    return `${this.#processId}-${++this.#connections}`;
  }

  open(connection: ClaimingConnection): number {
    const { driverId } = connection;
    const older = this.#byDriver.get(driverId);
    this.#byDriver.set(driverId, connection);
    this.#last = Math.max(Math.floor(this.#nowMs()), this.#last + 1, connection.session + 1);
    older?.superseded();
    return this.#last;
  }

  closed(connection: ClaimingConnection): void {
    if (this.#byDriver.get(connection.driverId) === connection) this.#byDriver.delete(connection.driverId);
  }

  look(): void {}
}

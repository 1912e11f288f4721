// What a connection and the claims of its session are to each other.

export interface SessionClaims {
  /**
   * Returns the session to begin with. An older connection of the driver here is superseded before it returns. Reads
   * the connection's `session`: what this process knows of the driver's last one, or 0.
   */
  open(connection: ClaimingConnection): number;
  closed(connection: ClaimingConnection): void;
  /** About once a second, with monotonic time: what is due every 30 s and every few hours. */
  look(nowMs: number): void;
}

export interface ClaimingConnection {
  readonly driverId: string;
  /** `newConnectionId`'s. */
  readonly connectionId: string;
  readonly session: number;
  /** Whether it has sent a report; if absent, it counts as if it had. */
  readonly hasReported?: boolean;
  /**
   * A greater session: what was recorded under the previous one ranks too low and has to be recorded again. Also called
   * after `closed`, if a claim was in flight.
   */
  claimed(session: number): void;
  /** A newer connection speaks for the driver. Never comes twice, nor after `closed`. */
  superseded(): void;
}

/** What happened so far. */
export interface ClaimCounts {
  claims: number;
  /** Calls that carried them. */
  calls: number;
  failedCalls: number;
  lost: number;
  renumbered: number;
  superseded: number;
  /** Calls that asked who holds our drivers. */
  looks: number;
}

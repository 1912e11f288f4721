// Processes that claim sessions, and connections that say what they were told.

import type { ClaimingConnection } from '../claiming-connection.js';
import { Claims, type ClaimsOptions } from '../claims.js';

export class TestConnection implements ClaimingConnection {
  readonly driverId: string;
  readonly connectionId: string;
  session = 0;
  hasReported = true;
  /** Each session that it has had. */
  readonly sessions: number[] = [];
  supersededTimes = 0;
  readonly #claims: Claims;

  constructor(claims: Claims, driverId: string, o: { session?: number; hasReported?: boolean } = {}) {
    this.#claims = claims;
    this.driverId = driverId;
    this.connectionId = claims.newConnectionId();
    this.session = o.session ?? 0;
    this.hasReported = o.hasReported ?? true;
    this.claimed(claims.open(this));
  }

  get isSuperseded(): boolean {
    return this.supersededTimes > 0;
  }

  claimed(session: number): void {
    this.session = session;
    this.sessions.push(session);
  }

  superseded(): void {
    this.supersededTimes++;
    this.close();
  }

  close(): void {
    this.#claims.closed(this);
  }
}

/** One process of ingest, as far as sessions go. */
export class TestProcess {
  readonly claims: Claims;
  readonly handedBack: string[] = [];

  constructor(options: Omit<ClaimsOptions, 'handedBack'>) {
    this.claims = new Claims({ ...options, handedBack: (driverId) => this.handedBack.push(driverId) });
  }

  open(driverId: string, o?: { session?: number; hasReported?: boolean }): TestConnection {
    return new TestConnection(this.claims, driverId, o);
  }
}

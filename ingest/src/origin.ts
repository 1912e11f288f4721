// The boundary between the edge (gateway, sessions) and the recorder behind it. The edge puts valid positions
// down and hears later what became of them; neither side knows how the other works.

import type { Durability, NackCode } from '@whereabouts/client/protocol';
import type { Position } from '@whereabouts/infra/position';

/** A connection, as the recorder sees it. Any of these may come after the connection has gone. */
export interface Origin {
  /** Redis has it: settles its seq and every earlier one that was not refused. */
  accepted(position: Position, durability: Durability): void;
  /** Called for each replaced position too. */
  refused(position: Position, code: NackCode, retryAfterMs: number | null, detail: string): void;
  /** The store knows a newer session of this driver. */
  superseded(position: Position, storedSession: number): void;
  /** A checkpoint stands in Postgres. */
  persisted(position: Position): void;
}

/** What the edge needs of the recorder. */
export interface ReportSink {
  /** Never throws, never blocks. Nobody hears of a position without an origin. */
  submit(position: Position, origin: Origin | null): void;
  /** The newest that was acknowledged or is pending, also for a while after the driver has left. */
  lastKnown(driverId: string): Position | null;
  /** Checkpoints of this driver that are not in Postgres yet, besides the one of that id. */
  waitingCheckpoints(driverId: string, besidesId: string): number;
  pendingReports(): number;
}

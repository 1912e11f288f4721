// The task of a flooder, and its report.

export const FLOOD_KINDS = [
  'text',
  'frames',
  'positions',
  'pings',
  'empty fragments',
  'reconnects',
  'bad batches',
  'idle sockets',
] as const;
export type FloodKind = (typeof FLOOD_KINDS)[number];

export interface FlooderTask {
  host: string;
  port: number;
  localAddress: string;
  kind: FloodKind;
  /** One connection for each, each with a different driver. */
  tokens: string[];
}

export interface FlooderReport {
  connects: number;
  upgrades: number;
  bytes: number;
}

// What a flooder is told, and what it tells.

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
  /** A connection for each, each of a driver of its own. */
  tokens: string[];
}

export interface FlooderReport {
  connects: number;
  upgrades: number;
  bytes: number;
}

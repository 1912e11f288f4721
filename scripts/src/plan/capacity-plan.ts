// The target of a capacity plan, and its result.
import type { ClusterShape } from './cluster-shape.js';
import type { UsedCost } from './measured-costs.js';
import type { Format } from './wire-bytes.js';

export interface Target {
  drivers: number;
  /** Between two reports of a driver. */
  intervalS: number;
  flushIntervalS: number;
  durability: 'cache' | 'replicated';
  questionsPerS: number;
  frames: Format;
  ack: 'each' | 'sparse';
}

/** Processes of a kind; shares of one core. */
export interface Part {
  processes: number;
  busyCores: number;
  utilisation: number;
  utilisationAfterLoss: number;
}

export interface RedisPlan extends ClusterShape {
  replicas: number;
  master: { utilisation: number; utilisationAfterLoss: number };
  busyCores: number;
  /** Appends and polls, at the master with the most partitions. */
  callsPerMasterPerS: number;
  /** One master and a replica of another on each. */
  hosts: number;
  coresPerHost: number;
  dataBytesPerMaster: number;
  bytesPerNode: number;
  bytesInAll: number;
  /** For the master that lost its host: what it may have to record again, at once. */
  catchUpS: number;
}

export interface Load {
  positionsPerS: number;
  acksPerS: number;
  rowsPerS: number;
}

export interface CapacityPlan {
  target: Target;
  load: Load;
  redis: RedisPlan;
  ingest: Part & { bytesPerProcess: number; bytesInAll: number; positionsPerCall: number };
  /** Each process follows every position, and answers its share of the questions. */
  queryApi: Part & { followingCores: number; bytesPerProcess: number; bytesInAll: number };
  flusher: Part;
  postgres: { busyCores: number; cores: number; walBytesPerS: number; measuredRowsPerS: number };
  cores: number;
  connections: {
    driversPerProcess: number;
    driversPerProcessAfterLoss: number;
    redisPerIngestProcess: number;
    descriptorsPerIngestProcess: number;
    perRedisNode: number;
  };
  network: { inBytesPerS: number; outBytesPerS: number };
  warnings: string[];
  measured: UsedCost[];
}

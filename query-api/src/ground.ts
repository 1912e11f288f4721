// The index, the follower that feeds it, and the loops that examine them.

import { randomUUID } from 'node:crypto';
import { Follower } from '@whereabouts/infra/follower/follower';
import type { LogStore } from '@whereabouts/infra/live-store/log-store';
import type { Logger } from '@whereabouts/infra/service/log';
import type { Admission } from './admission.js';
import { PartitionViews } from './coverage.js';
import { DriverIndex } from './driver-index.js';
import { NearestSearch } from './nearest.js';
import type { QueryMetrics } from './query-metrics.js';
import type { Ground } from './questions.js';
import { type StreamLimits, Streams } from './streams.js';

export interface GroundParts {
  store: LogStore;
  log: Logger;
  metrics: QueryMetrics;
  admission: Admission;
  settings: { freshnessMs: number; sweepAfterMs: number; coverageLagMs: number };
  streamLimits: StreamLimits;
}

/** How often ages are examined; each driver's is examined within AGES_WITHIN_MS. */
const AGES_EVERY_MS = 500;
const AGES_WITHIN_MS = 10_000;

export interface LivingGround extends Ground {
  stop(): void;
}

/** It begins to follow at once. */
export function followFrom(parts: GroundParts): LivingGround {
  const { store, log, metrics, admission, settings, streamLimits } = parts;
  const { freshnessMs, sweepAfterMs, coverageLagMs } = settings;
  const { map } = store;
  const index = new DriverIndex({
    ...{ partitions: map.partitions, freshnessMs, sweepAfterMs },
    isFlushed: (partition, driverId, term, revision) =>
      follower.partitions[partition]?.isFlushed(driverId, term, revision) ?? false,
  });
  const follower: Follower = new Follower({ store, sink: index, log });
  const views = new PartitionViews({
    ...{ map, partitions: follower.partitions, lagMs: coverageLagMs },
    nowMs: () => store.nowMs(),
    incomplete: (reason) => metrics.incomplete.inc({ reason }),
  });
  const process = randomUUID().slice(0, 8);
  const revision = () => `${process}-${follower.counts.records}`;
  const streams = new Streams({ limits: streamLimits, admission, metrics: metrics.streams, revision });
  const timer = setInterval(() => {
    index.lookAtAges(Math.ceil((index.slotsUsed * AGES_EVERY_MS) / AGES_WITHIN_MS), store.nowMs());
  }, AGES_EVERY_MS);
  void follower.start();
  return {
    ...{ store, follower, index, views, metrics, admission, freshnessMs },
    ...{ streams, revision },
    search: new NearestSearch(index),
    stop() {
      clearInterval(timer);
      follower.stop();
    },
  };
}

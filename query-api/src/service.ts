// Assembles query-api: everything a process needs, apart from its environment and its signals.

import { LogStore } from '@whereabouts/infra/live-store/log-store';
import type { PartitionMap } from '@whereabouts/infra/partition-map';
import { type SocketBounds, socketsWithin } from '@whereabouts/infra/service/bounded-sockets';
import type { Logger } from '@whereabouts/infra/service/log';
import type { Metrics } from '@whereabouts/infra/service/metrics';
import type { ReadinessReport } from '@whereabouts/infra/service/shell';
import { createTokenVerifier } from '@whereabouts/infra/service/tokens';
import { Admission } from './admission.js';
import { createAuthorization } from './authorization.js';
import { followFrom } from './ground.js';
import { createQueryMetrics, registerReadings } from './query-metrics.js';
import type { Ground } from './questions.js';
import { readinessOf } from './readiness.js';
import { type Server, startServer } from './server.js';
import type { QuerySettings } from './settings.js';
import type { StreamLimits } from './streams.js';

/** Of all connections, at most. */
const STREAMS_SHARE = 0.8;

export interface QueryService {
  port: number;
  ground: Ground;
  readiness(): Promise<ReadinessReport>;
  drain(): Promise<void>;
  close(): void;
}

export interface QueryServiceParts {
  settings: Readonly<QuerySettings>;
  map: PartitionMap;
  metrics: Metrics;
  log: Logger;
}

function driversByStatus({ store, index, views }: Ground): Record<string, number> {
  const sums = { offline: 0, available: 0, busy: 0 };
  for (let partition = 0; partition < store.map.partitions; partition++) {
    if (!views.isSeen(partition)) continue;
    const [offline, available, busy] = index.countsOf(partition);
    sums.offline += offline;
    sums.available += available;
    sums.busy += busy;
  }
  return sums;
}

export async function startQueryService(parts: QueryServiceParts): Promise<QueryService> {
  const { settings, map, metrics, log } = parts;
  const { redis, host, port, corsOrigins, lossBudgetMs, mapStyleUrl } = settings;
  const page = { lossBudgetMs, mapStyleUrl };
  const verify = await createTokenVerifier(settings.tokens, { log, metrics });
  const authorize = createAuthorization(verify);
  const store = await LogStore.connect({ redis, map, log, readOnly: true });
  const queryMetrics = createQueryMetrics(metrics);
  const admission = new Admission(
    {
      questionsPerS: settings.maxQuestionsPerS,
      inFlight: settings.maxQuestionsInFlight,
      inFlightPerSubject: Math.min(settings.maxQuestionsInFlightPerSubject, settings.maxQuestionsInFlight),
    },
    (reason) => queryMetrics.refusals.inc({ reason }),
  );
  const bounds = boundsWithinFiles(settings, log);
  const streamLimits = streamLimitsWithin(settings, bounds.inAll);
  const ground = followFrom({ store, log, metrics: queryMetrics, admission, settings, streamLimits });
  const end = () => {
    verify.close();
    ground.stop();
    store.close();
  };
  let server: Server;
  try {
    server = await startServer({ ground, authorize, log, corsOrigins, page, bounds, host, port });
  } catch (error) {
    end();
    throw error;
  }
  registerReadings(metrics, {
    questionsInFlight: () => admission.inFlight,
    questionsInFlightLimit: settings.maxQuestionsInFlight,
    sockets: () => server.sockets(),
    streams: () => ground.streams.size,
    socketsLimit: server.socketsLimit,
    streamsLimit: streamLimits.inAll,
    drivers: () => driversByStatus(ground),
    indexedDrivers: () => ground.index.drivers,
    missing: () => ground.views.missingOf(),
    indexBytes: () => ground.index.bytes,
    viewAgeMs: () => ground.views.viewAgeMs(),
    follower: ground.follower.counts,
  });
  log.info({ host, port: server.port, map: map.hash, partitions: map.partitions }, 'listening');
  return {
    port: server.port,
    ground,
    async readiness() {
      const { ready, checks } = await readinessOf(ground);
      return { ready, checks: [...checks, ...verify.checks()] };
    },
    async drain() {
      await server.drain();
      end();
    },
    close() {
      server.close();
      end();
    },
  };
}

function boundsWithinFiles(
  { maxConnections, maxConnectionsPerAddress }: QuerySettings,
  log: Logger,
): SocketBounds {
  const inAll = socketsWithin(maxConnections);
  if (inAll < maxConnections) {
    log.warn({ max_connections: maxConnections, at_most: inAll }, 'too few files for MAX_CONNECTIONS');
  }
  const perAddress = Math.ceil((inAll * maxConnectionsPerAddress) / maxConnections);
  return { inAll, perAddress: Math.min(maxConnectionsPerAddress, perAddress) };
}

/** A stream holds a connection, and some have to be left for questions. */
function streamLimitsWithin(
  { maxStreams, maxStreamsPerSubject }: QuerySettings,
  sockets: number,
): StreamLimits {
  const inAll = Math.min(maxStreams, Math.floor(sockets * STREAMS_SHARE));
  return { inAll, perSubject: Math.min(maxStreamsPerSubject, inAll) };
}

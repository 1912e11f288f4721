// query-api put together: what a process needs, apart from its environment and its signals.

import { LogStore } from '@whereabouts/infra/live-store/log-store';
import type { PartitionMap } from '@whereabouts/infra/partition-map';
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
  const ground = followFrom({ store, log, metrics: queryMetrics, admission, settings });
  const end = () => {
    verify.close();
    ground.stop();
    store.close();
  };
  const bounds = { inAll: settings.maxConnections, perAddress: settings.maxConnectionsPerAddress };
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
    socketsLimit: server.socketsLimit,
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

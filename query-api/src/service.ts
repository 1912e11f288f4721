// query-api put together: what a process needs, apart from its environment and its signals.

import { LiveStore } from '@whereabouts/infra/live-store/live-store';
import type { PartitionMap } from '@whereabouts/infra/partition-map';
import type { Logger } from '@whereabouts/infra/service/log';
import type { Metrics } from '@whereabouts/infra/service/metrics';
import type { ReadinessReport } from '@whereabouts/infra/service/shell';
import { createTokenVerifier, type RunningTokenVerifier } from '@whereabouts/infra/service/tokens';
import { Api } from './api.js';
import { Asking } from './asking.js';
import { Density } from './density.js';
import { driverOperation, driversOperation } from './drivers.js';
import { Lanes } from './lanes.js';
import { liveOperation } from './live.js';
import { nearbyBatchOperation, nearbyOperation } from './nearby.js';
import { openApiDocument } from './openapi.js';
import type { Ground, Operation } from './operation.js';
import { readPage } from './page.js';
import { lookAtPartitions, partitionsOperation } from './partitions.js';
import { createQueryMetrics } from './query-metrics.js';
import { listen, type Server } from './server.js';
import type { QuerySettings } from './settings.js';

const API_VERSION = '1.0.0';
// Within what the ops listener waits for.
const READINESS_LOOK_MS = 600;

export interface QueryService {
  port: number;
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

export async function startQueryService(parts: QueryServiceParts): Promise<QueryService> {
  const { settings, map, metrics, log } = parts;
  const { redis, freshnessMs, requestDeadlineMs, maxQuestionsInFlight, host, port } = settings;
  const verify = await createTokenVerifier(settings.tokens, { log, metrics });
  const page = readPage();
  const store = await LiveStore.connect({ redis, map, log, readOnly: true });
  const queryMetrics = createQueryMetrics(metrics);
  const density = new Density(map.partitions);
  const lanes = new Lanes();
  const ground: Ground = { store, density, lanes, metrics: queryMetrics, freshnessMs };
  const operations = operationsOf(ground);
  const document = openApiDocument(operations, API_VERSION);
  const limits = { requestDeadlineMs, maxQuestionsInFlight };
  let server: Server;
  try {
    const api = new Api({ operations, document, page, verify, metrics: queryMetrics, lanes, log, ...limits });
    server = await listen(api, { host, port });
  } catch (error) {
    store.close();
    throw error;
  }
  log.info({ host, port: server.port, map: map.hash, partitions: map.partitions }, 'listening');
  return {
    port: server.port,
    readiness: () => readinessOf(ground, verify),
    async drain() {
      await server.drain();
      verify.close();
      store.close();
    },
    close() {
      server.close();
      verify.close();
      store.close();
    },
  };
}

/** In the order in which a path is looked up. */
export function operationsOf(ground: Ground): Operation[] {
  return [
    nearbyOperation(ground),
    nearbyBatchOperation(ground),
    liveOperation(ground),
    driversOperation(ground),
    driverOperation(ground),
    partitionsOperation(ground),
  ];
}

/** One dark region leaves it ready; another map, or no master at all, does not. */
async function readinessOf(ground: Ground, verify: RunningTokenVerifier): Promise<ReadinessReport> {
  const asking = new Asking(ground.lanes, READINESS_LOOK_MS);
  let partitions: Awaited<ReturnType<typeof lookAtPartitions>>;
  try {
    partitions = await lookAtPartitions(ground, asking);
  } finally {
    asking.end();
  }
  const masters = ground.store.mastersReachable();
  const foreign = partitions.filter(({ health }) => health === 'map_mismatch').length;
  const { hash } = ground.store.map;
  const counts = new Map<string, number>();
  for (const { health } of partitions) counts.set(health, (counts.get(health) ?? 0) + 1);
  const summary = [...counts].map(([health, count]) => `${count} ${health}`).join(', ');
  return {
    ready: masters > 0 && foreign === 0,
    checks: [
      { name: 'masters', ok: masters > 0, detail: `${masters} reachable` },
      {
        name: 'partition_map',
        ok: foreign === 0,
        detail: foreign === 0 ? hash : `${foreign} partitions are written under another map than ${hash}`,
      },
      { name: 'partitions', ok: counts.size === 1 && counts.has('ok'), detail: summary },
      ...verify.checks(),
    ],
  };
}

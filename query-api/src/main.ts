// The process: reads the settings, and serves until it is asked to stop.

import { launch } from '@whereabouts/infra/service/launch';
import { createLogger } from '@whereabouts/infra/service/log';
import { createMetrics } from '@whereabouts/infra/service/metrics';
import { runService } from '@whereabouts/infra/service/shell';
import { type QueryService, startQueryService } from './service.js';
import { readPartitionMap, readSettings } from './settings.js';

const NAME = 'query-api';

await launch(NAME, async () => {
  const settings = readSettings(process.env);
  const map = readPartitionMap(settings);
  const log = createLogger(NAME, settings.logLevel);
  const metrics = createMetrics(NAME, { commit: settings.buildCommit });
  let service: QueryService | undefined;
  await runService({
    name: NAME,
    log,
    opsHost: settings.opsHost,
    opsPort: settings.opsPort,
    registry: metrics.registry,
    readiness: () =>
      service?.readiness() ?? {
        ready: false,
        checks: [{ name: 'masters', ok: false, detail: 'looking for the cache' }],
      },
    async start() {
      service = await startQueryService({ settings, map, metrics, log });
    },
    async drain() {
      await service?.drain();
    },
    drainDeadlineMs: settings.drainDeadlineMs,
  });
});

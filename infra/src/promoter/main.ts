// The promoter: a separate process that does not wait for Redis to agree on a failure. Any number may run.

import { launch } from '../service/launch.js';
import { createLogger } from '../service/log.js';
import { createMetrics } from '../service/metrics.js';
import { opsSettings, redisSettings, SettingsReader } from '../service/settings.js';
import { runService } from '../service/shell.js';
import { Promoter } from './promoter.js';

await launch('promoter', async () => {
  const reader = new SettingsReader(process.env);
  const settings = reader.finish({ ...opsSettings(reader, { opsPort: 9084 }), redis: redisSettings(reader) });
  const log = createLogger('promoter', settings.logLevel);
  const metrics = createMetrics('promoter', { commit: settings.buildCommit });
  const promoter = new Promoter({ redis: settings.redis, log, metrics });
  await runService({
    name: 'promoter',
    log,
    opsHost: settings.opsHost,
    opsPort: settings.opsPort,
    registry: metrics.registry,
    drainDeadlineMs: settings.drainDeadlineMs,
    readiness: () => promoter.readiness(),
    start: () => promoter.start(),
    drain: async () => promoter.stop(),
  });
});

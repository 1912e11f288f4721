// The flusher: writes positions from the live store to Postgres. Any number may run.

import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { LogStore } from '@whereabouts/infra/live-store/log-store';
import { parsePartitionMap } from '@whereabouts/infra/partition-map';
import { launch } from '@whereabouts/infra/service/launch';
import { createLogger } from '@whereabouts/infra/service/log';
import { createMetrics } from '@whereabouts/infra/service/metrics';
import { PacedLog } from '@whereabouts/infra/service/paced-log';
import { SettingsReader } from '@whereabouts/infra/service/settings';
import { type ReadinessReport, runService } from '@whereabouts/infra/service/shell';
import { Archive } from './archive.js';
import { FAILPOINTS, failAt } from './failpoint.js';
import { FlushLoop } from './flush-loop.js';
import { flushMetrics } from './flush-metrics.js';
import { isNothing, LeftOverError } from './left-over.js';
import { dropPgEnvironment } from './postgres-settings.js';
import { Retention } from './retention.js';
import { readFlusherSettings } from './settings.js';

/** Of the drain's deadline, for closing what is open. */
const CLOSING_MS = 500;
const LOST_EVERY_MS = 60_000;

await launch('flusher', async () => {
  const settings = readFlusherSettings(new SettingsReader(process.env));
  dropPgEnvironment(process.env);
  const { ops } = settings;
  const map = parsePartitionMap(readFileSync(settings.partitionMapFile, 'utf8'));
  const log = createLogger('flusher', ops.logLevel);
  const service = createMetrics('flusher', { commit: ops.buildCommit });
  const metrics = flushMetrics(service);
  const lost = new PacedLog(LOST_EVERY_MS);
  const reached = failAt(FAILPOINTS.find((step) => step === settings.failpoint) ?? null);
  const archive = new Archive({
    postgres: settings.postgres,
    mapHash: map.hash,
    reached,
    onConnectionLost: (error) =>
      lost.log('lost', (times) => log.warn({ err: error, times }, 'a connection to Postgres was lost')),
  });
  const retention = new Retention({ archive, days: settings.retentionDays, log, metrics });
  let store: LogStore | null = null;
  let loop: FlushLoop | null = null;

  await runService({
    name: 'flusher',
    log,
    opsHost: ops.opsHost,
    opsPort: ops.opsPort,
    registry: service.registry,
    drainDeadlineMs: ops.drainDeadlineMs,
    readiness: () => readiness(store, loop),
    async start() {
      store = await LogStore.connect({ redis: settings.redis, map, log, loadsFunctions: true });
      const flusherId = `${hostname()}-${process.pid}-${randomBytes(4).toString('hex')}`;
      loop = new FlushLoop({ store, archive, flusherId, settings, log, metrics, reached });
      loop.look.regions.register(service);
      loop.start();
      if (settings.retentionDays > 0) void retention.run();
    },
    async drain() {
      retention.stop();
      const left = await loop?.drain(Math.max(0, ops.drainDeadlineMs - CLOSING_MS));
      store?.close();
      await archive.close();
      if (left && !isNothing(left)) throw new LeftOverError(left);
    },
  });
});

/** Postgres away or a dark region is no reason to take the flusher out: it says so, and goes on. */
function readiness(store: LogStore | null, loop: FlushLoop | null): ReadinessReport {
  if (store === null || loop === null) return { ready: false, checks: [] };
  const masters = store.mastersReachable();
  const { gates, refused, refusedCheckpoints } = loop;
  const { mapMismatch, lossWindow, regions } = loop.look;
  const areNone = refused.count + refusedCheckpoints === 0;
  return {
    ready: masters > 0 && mapMismatch === null,
    checks: [
      { name: 'redis', ok: masters > 0, detail: `${masters} masters reachable` },
      { name: 'partition map', ok: mapMismatch === null, detail: mapMismatch ?? store.map.hash },
      { name: 'regions', ok: regions.count === 0, detail: regions.detail },
      { name: 'postgres', ok: gates.positions.isUp, detail: gates.positions.detail },
      { name: 'checkpoints', ok: gates.checkpoints.isUp, detail: gates.checkpoints.detail },
      {
        name: 'refused rows',
        ok: areNone,
        detail: `${refused.count} positions and ${refusedCheckpoints} checkpoints are refused by Postgres`,
      },
      {
        name: 'records',
        ok: loop.unreadable === 0,
        detail: `${loop.unreadable} in the cache cannot be read`,
      },
      { name: 'loss window', ok: !lossWindow.isExceeded, detail: lossWindow.detail },
    ],
  };
}

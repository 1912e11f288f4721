// Everything that ingest reads from its environment, once, with the relations between settings.
import { DURABILITIES, type Durability, MAX_WAITING_CHECKPOINTS } from '@whereabouts/client/protocol';
import {
  partitionMapSettings,
  type RedisSettings,
  redisSettings,
  type SettingsReader,
  type ShellSettings,
  shellSettings,
  tokenSettings,
} from '@whereabouts/infra/service/settings';
import type { TokenSettings } from '@whereabouts/infra/service/tokens';

export interface IngestSettings extends ShellSettings {
  redis: RedisSettings;
  tokens: TokenSettings;
  partitionMapFile: string;
  durability: Durability;
  freshnessMs: number;
  lossBudgetMs: number;
  /** More than one share the port; each takes maxConnections of its own. */
  processes: number;
  maxConnections: number;
  maxReportsPerS: number;
  maxReportsBurst: number;
  checkpointsPerMin: number;
  checkpointsBurst: number;
  reportIntervalMs: number;
  offlineAfterMs: number;
  tickMinMs: number;
  tickMaxMs: number;
  holdNackAfterMs: number;
  logMaxBytes: number;
}

// A client that reports once and then catches up for a second does not overstep.
const BURST_S = 2;
const CHECKPOINT_BURST_MIN = 2;

export function readIngestSettings(reader: SettingsReader): Readonly<IngestSettings> {
  const shell = shellSettings(reader, { port: 8080, opsPort: 9080 });
  const maxReportsPerS = reader.integer('MAX_REPORTS_PER_S', {
    default: 5,
    min: 1,
    max: 1000,
    about: `reports a second that a driver may send, with a burst of ${BURST_S} seconds' worth`,
  });
  const checkpointsPerMin = reader.integer('CHECKPOINTS_PER_MIN', {
    default: 10,
    min: 1,
    max: 30_000,
    about:
      `checkpoints a minute that a driver may send, with a burst of ${CHECKPOINT_BURST_MIN} minutes' worth, ` +
      `at least ${MAX_WAITING_CHECKPOINTS}`,
  });
  const settings: IngestSettings = {
    ...shell,
    redis: redisSettings(reader),
    tokens: tokenSettings(reader, 'whereabouts-ingest'),
    ...partitionMapSettings(reader),
    ...promises(reader),
    ...capacity(reader),
    maxReportsPerS,
    maxReportsBurst: maxReportsPerS * BURST_S,
    checkpointsPerMin,
    // Who comes back sends again all that waits.
    checkpointsBurst: Math.max(MAX_WAITING_CHECKPOINTS, checkpointsPerMin * CHECKPOINT_BURST_MIN),
    ...times(reader),
  };
  checkRelations(reader, settings);
  return reader.finish(settings);
}

function promises(reader: SettingsReader) {
  return {
    durability: reader.choice('DURABILITY', {
      values: DURABILITIES,
      default: 'cache',
      about: 'what an acknowledgement promises: the master has it, or every replica too',
    }),
    freshnessMs: reader.integer('FRESHNESS_MS', {
      default: 10_000,
      min: 1000,
      max: 3_600_000,
      about: 'older positions are neither taken nor answered with',
    }),
    lossBudgetMs: reader.integer('LOSS_BUDGET_MS', {
      default: 10_000,
      min: 500,
      max: 3_600_000,
      about: 'the age of unflushed positions that raises an alarm',
    }),
  };
}

function capacity(reader: SettingsReader) {
  return {
    processes: reader.integer('INGEST_PROCESSES', {
      default: 1,
      min: 1,
      max: 64,
      about: 'processes that share the port',
    }),
    maxConnections: reader.integer('MAX_CONNECTIONS', {
      default: 50_000,
      min: 1,
      max: 1_000_000,
      about: 'connections of one process, as far as its open files allow; more are answered with 503',
    }),
    logMaxBytes: reader.integer('LOG_MAX_BYTES', {
      default: 8_388_608,
      min: 65_536,
      max: 1_073_741_824,
      about: 'the log of a partition that is larger is compacted by ingest, where no flusher does',
    }),
  };
}

function times(reader: SettingsReader) {
  const integer = (name: string, fallback: number, min: number, max: number, about: string) =>
    reader.integer(name, { default: fallback, min, max, about });
  return {
    reportIntervalMs: integer(
      'REPORT_INTERVAL_MS',
      2000,
      100,
      600_000,
      'how often drivers are asked to report',
    ),
    offlineAfterMs: integer(
      'OFFLINE_AFTER_MS',
      10_000,
      500,
      600_000,
      'a driver whose connection dropped is recorded as offline after this',
    ),
    tickMinMs: integer(
      'TICK_MIN_MS',
      10,
      1,
      1000,
      'how often reports are written when there is little to do',
    ),
    tickMaxMs: integer('TICK_MAX_MS', 100, 1, 1000, 'how often reports are written under load'),
    holdNackAfterMs: integer(
      'HOLD_NACK_AFTER_MS',
      1000,
      100,
      600_000,
      'a report held for an unreachable region is answered with a retryable nack after this',
    ),
  };
}

function checkRelations(reader: SettingsReader, s: IngestSettings): void {
  const require = (holds: boolean, text: string) => {
    if (!holds) reader.problem(text);
  };
  require(s.tickMinMs <=
    s.tickMaxMs, `TICK_MIN_MS is ${s.tickMinMs} and TICK_MAX_MS ${s.tickMaxMs}: give a minimum that is not above the maximum`);
  require(s.reportIntervalMs + s.tickMaxMs <
    s.freshnessMs, `REPORT_INTERVAL_MS is ${s.reportIntervalMs} and FRESHNESS_MS ${s.freshnessMs}: drivers who report on time would ` +
    'drop out of the answers; give an interval well below the freshness limit');
  require(1000 / s.reportIntervalMs <=
    s.maxReportsPerS, `REPORT_INTERVAL_MS is ${s.reportIntervalMs} and MAX_REPORTS_PER_S ${s.maxReportsPerS}: drivers who report on ` +
    'time would be too fast; give a longer interval or a higher limit');
  require(s.holdNackAfterMs <
    s.freshnessMs, `HOLD_NACK_AFTER_MS is ${s.holdNackAfterMs} and FRESHNESS_MS ${s.freshnessMs}: a held report would be too old ` +
    'before its driver hears of it; give less than the freshness limit');
  require(s.holdNackAfterMs >
    s.tickMaxMs, `HOLD_NACK_AFTER_MS is ${s.holdNackAfterMs} and TICK_MAX_MS ${s.tickMaxMs}: give more than a tick takes`);
  require(s.port === 0 || s.port !== s.opsPort, 'PORT and OPS_PORT are the same: give two ports');
}

// Everything that the flusher reads from its environment.

import {
  opsSettings,
  partitionMapSettings,
  redisSettings,
  type SettingsReader,
} from '@whereabouts/infra/service/settings';
import { FAILPOINTS } from './failpoint.js';
import { postgresSettings } from './postgres-settings.js';
import { NEAR_BUDGET } from './triggers.js';

export type FlusherSettings = ReturnType<typeof readFlusherSettings>;

export function readFlusherSettings(reader: SettingsReader) {
  const settings = {
    ops: opsSettings(reader, { opsPort: 9082 }),
    redis: redisSettings(reader),
    ...partitionMapSettings(reader),
    postgres: postgresSettings(reader),
    ...flushSettings(reader),
    retentionDays: reader.integer('RETENTION_DAYS', {
      default: 0,
      min: 0,
      max: 36_500,
      about: 'positions and checkpoints older than this are deleted from Postgres; 0 keeps them',
    }),
    failpoint: reader.choice('WHEREABOUTS_FAILPOINT', {
      values: ['none', ...FAILPOINTS],
      default: 'none',
      about: 'for tests alone: the step at which the flusher kills itself',
    }),
  };
  if (settings.flushIntervalMs >= settings.lossBudgetMs * NEAR_BUDGET) {
    const atMost = Math.ceil(settings.lossBudgetMs * NEAR_BUDGET) - 1;
    reader.problem(
      `FLUSH_INTERVAL_MS is ${settings.flushIntervalMs} and LOSS_BUDGET_MS ${settings.lossBudgetMs}: ` +
        `give an interval of at most ${atMost}, so that the budget is a limit and not the pace`,
    );
  }
  if (settings.sweepAfterMs < settings.freshnessMs) {
    reader.problem(
      `SWEEP_AFTER_MS is ${settings.sweepAfterMs} and FRESHNESS_MS ${settings.freshnessMs}: ` +
        'what is fresh cannot be swept, give a greater SWEEP_AFTER_MS',
    );
  }
  return reader.finish(settings);
}

function flushSettings(reader: SettingsReader) {
  return {
    flushIntervalMs: reader.integer('FLUSH_INTERVAL_MS', {
      default: 5_000,
      min: 100,
      max: 600_000,
      about: 'how often a partition is flushed to Postgres',
    }),
    flushMaxAccepted: reader.integer('FLUSH_MAX_ACCEPTED', {
      default: 50_000,
      min: 1,
      max: 1_000_000_000,
      about:
        'a partition that accepted so many positions since its last flush is flushed before its interval',
    }),
    lossBudgetMs: reader.integer('LOSS_BUDGET_MS', {
      default: 10_000,
      min: 200,
      max: 3_600_000,
      about: 'the loss window that is promised; near it a partition is flushed next, above it is an alarm',
    }),
    freshnessMs: reader.integer('FRESHNESS_MS', {
      default: 10_000,
      min: 1_000,
      max: 3_600_000,
      about: 'drivers whose last report is older than this are in no answer',
    }),
    sweepAfterMs: reader.integer('SWEEP_AFTER_MS', {
      default: 300_000,
      min: 1_000,
      max: 86_400_000,
      about: 'drivers whose last report is older than this, and in Postgres, leave the cache',
    }),
  };
}

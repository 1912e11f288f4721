// Everything that query-api reads from its environment, once, with the relations between settings.

import { readFileSync } from 'node:fs';
import { type PartitionMap, parsePartitionMap } from '@whereabouts/infra/partition-map';
import {
  partitionMapSettings,
  type RedisSettings,
  redisSettings,
  SettingsReader,
  type ShellSettings,
  shellSettings,
  tokenSettings,
} from '@whereabouts/infra/service/settings';
import type { TokenSettings } from '@whereabouts/infra/service/tokens';
import { MAX_POINTS } from './parameter-schemas.js';

export interface QuerySettings extends ShellSettings {
  redis: RedisSettings;
  tokens: TokenSettings;
  partitionMapFile: string;
  freshnessMs: number;
  sweepAfterMs: number;
  coverageLagMs: number;
  maxQuestionsInFlight: number;
  maxQuestionsInFlightPerSubject: number;
  maxQuestionsPerS: number;
  maxStreams: number;
  maxStreamsPerSubject: number;
  maxConnections: number;
  maxConnectionsPerAddress: number;
  corsOrigins: string[];
  lossBudgetMs: number;
  /** A style for the map page's ground; null: the page's own. */
  mapStyleUrl: string | null;
}

export function readSettings(env: NodeJS.ProcessEnv): Readonly<QuerySettings> {
  const reader = new SettingsReader(env);
  const settings: QuerySettings = {
    ...shellSettings(reader, { port: 8081, opsPort: 9081 }),
    redis: redisSettings(reader),
    tokens: tokenSettings(reader, 'whereabouts-query'),
    ...partitionMapSettings(reader),
    freshnessMs: reader.integer('FRESHNESS_MS', {
      default: 10_000,
      min: 1000,
      max: 3_600_000,
      about: 'older positions are neither taken nor answered with',
    }),
    sweepAfterMs: reader.integer('SWEEP_AFTER_MS', {
      default: 300_000,
      min: 1000,
      max: 86_400_000,
      about: 'drivers whose last report is older than this, and in Postgres, leave the cache',
    }),
    coverageLagMs: reader.integer('COVERAGE_LAG_MS', {
      default: 2_000,
      min: 500,
      max: 60_000,
      about: 'a partition that was not seen, or not fed, for longer is missing from answers',
    }),
    ...limits(reader),
    corsOrigins: corsOrigins(reader),
    ...pageSettings(reader),
  };
  if (settings.sweepAfterMs < settings.freshnessMs) {
    reader.problem(
      `SWEEP_AFTER_MS is ${settings.sweepAfterMs} and FRESHNESS_MS ${settings.freshnessMs}: ` +
        'what is fresh cannot leave the index, give a greater SWEEP_AFTER_MS',
    );
  }
  checkPartitionMap(reader, settings.partitionMapFile);
  return reader.finish(settings);
}

function limits(reader: SettingsReader) {
  return {
    maxQuestionsInFlight: reader.integer('MAX_QUESTIONS_IN_FLIGHT', {
      default: 400,
      min: MAX_POINTS,
      max: 100_000,
      about: 'questions answered at once, by their weight; more are refused as `overloaded`',
    }),
    maxQuestionsInFlightPerSubject: reader.integer('MAX_QUESTIONS_IN_FLIGHT_PER_SUBJECT', {
      default: 200,
      min: 1,
      max: 100_000,
      about: "the same for each token's subject; more are refused with 429",
    }),
    maxQuestionsPerS: reader.integer('MAX_QUESTIONS_PER_S', {
      default: 3_000,
      min: 1,
      max: 1_000_000,
      about: "questions a second of each token's subject, by their weight, with a burst of 2 seconds' worth",
    }),
    maxStreams: reader.integer('MAX_STREAMS', {
      default: 5_000,
      min: 1,
      max: 100_000,
      about: 'open streams of nearby drivers, and no more than 80 % of the connections; more: `overloaded`',
    }),
    maxStreamsPerSubject: reader.integer('MAX_STREAMS_PER_SUBJECT', {
      default: 2_500,
      min: 1,
      max: 100_000,
      about: "the same for each token's subject; more are refused with 429",
    }),
    maxConnections: reader.integer('MAX_CONNECTIONS', {
      default: 10_000,
      min: 1,
      max: 1_000_000,
      about: 'connections, as far as the open files allow; at the bound the longest idle one is closed',
    }),
    maxConnectionsPerAddress: reader.integer('MAX_CONNECTIONS_PER_ADDRESS', {
      default: 5_000,
      min: 1,
      max: 1_000_000,
      about: 'the same for each remote address',
    }),
  };
}

function corsOrigins(reader: SettingsReader): string[] {
  const origins = reader.optionalString('CORS_ORIGINS', {
    about: 'the origins of web pages that may ask, separated by commas',
    pattern: /^https?:\/\/[^\s,/]+(,https?:\/\/[^\s,/]+)*$/,
    hint: 'https://HOST, several separated by commas, without a path',
  });
  return origins?.split(',') ?? [];
}

function pageSettings(reader: SettingsReader) {
  return {
    lossBudgetMs: reader.integer('LOSS_BUDGET_MS', {
      default: 10_000,
      min: 200,
      max: 3_600_000,
      about: 'the loss window that is promised; the map page shows each partition against it',
    }),
    mapStyleUrl:
      reader.optionalString('MAP_STYLE_URL', {
        about:
          'a MapLibre style for the ground of the map page; all that it names is of the same origin; if it cannot be loaded the page says so',
        pattern: /^https?:\/\/[^\s/?#@]+(\/\S*)?$/,
        hint: 'https://HOST/PATH',
      }) ?? null,
  };
}

export function readPartitionMap({
  partitionMapFile,
}: Pick<QuerySettings, 'partitionMapFile'>): PartitionMap {
  return parsePartitionMap(readFileSync(partitionMapFile, 'utf8'));
}

function checkPartitionMap(reader: SettingsReader, path: string): void {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch {
    return; // already reported
  }
  try {
    parsePartitionMap(text);
  } catch (error) {
    reader.problem(
      `PARTITION_MAP_FILE is "${path}", which is no partition map (${(error as Error).message})`,
    );
  }
}

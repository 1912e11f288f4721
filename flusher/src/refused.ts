// node flusher/dist/refused.js [--driver ID] [--drop] [--json]: which positions Postgres refuses, and stand in the cache
// alone. --drop lets them go, where somebody has decided that they are not worth keeping; nothing else ever does.

import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { LiveStore } from '@whereabouts/infra/live-store/live-store';
import { StoreError } from '@whereabouts/infra/live-store/store-error';
import { parsePartitionMap } from '@whereabouts/infra/partition-map';
import { fromE7, type StoredPosition } from '@whereabouts/infra/position';
import { launch } from '@whereabouts/infra/service/launch';
import { createLogger } from '@whereabouts/infra/service/log';
import { partitionMapSettings, redisSettings, SettingsReader } from '@whereabouts/infra/service/settings';

const USAGE = 'usage: node flusher/dist/refused.js [--driver ID] [--drop] [--json]';
/** In one call, during which the node does nothing else. */
const DROPPED_AT_ONCE = 512;
const NOTHING_STALE = { freshBeforeMs: 0, removeBeforeMs: 0 };

interface Request {
  driver?: string;
  drop?: boolean;
  json?: boolean;
}

function readRequest(): Request | null {
  try {
    const flag = { type: 'boolean' } as const;
    return parseArgs({ options: { driver: { type: 'string' }, drop: flag, json: flag } }).values;
  } catch {
    return null;
  }
}

async function refusedOf(store: LiveStore, partition: number): Promise<StoredPosition[]> {
  const { reign, flushed: since } = await store.status(partition);
  const refused: StoredPosition[] = [];
  let cursor = '0';
  do {
    const page = await store.unflushed(partition, { reign, since, cursor, ...NOTHING_STALE });
    // Those of above the watermark are dirty as well: the next flush tries them.
    refused.push(...page.refused, ...page.rows.filter(({ quarantined }) => quarantined));
    cursor = page.cursor;
  } while (cursor !== '0');
  return refused;
}

async function drop(store: LiveStore, partition: number, refused: readonly StoredPosition[]): Promise<void> {
  for (let at = 0; at < refused.length; at += DROPPED_AT_ONCE) {
    await store.forget(partition, refused.slice(at, at + DROPPED_AT_ONCE));
  }
}

function show(partition: number, position: StoredPosition, { drop, json }: Request): void {
  const { driverId, latE7, lonE7 } = position;
  const [lat, lon] = [fromE7(latE7), fromE7(lonE7)];
  const at = new Date(position.recordedAtMs).toISOString();
  const line = json
    ? JSON.stringify({ partition, driver_id: driverId, recorded_at: at, lat, lon, dropped: drop === true })
    : `partition ${partition}  ${driverId}  ${at}  ${lat}, ${lon}${drop ? '  dropped' : ''}`;
  process.stdout.write(`${line}\n`);
}

await launch('refused', async () => {
  const request = readRequest();
  if (request === null) {
    process.stderr.write(`${USAGE}\n`);
    process.exit(64);
  }
  const reader = new SettingsReader(process.env);
  const settings = reader.finish({ redis: redisSettings(reader), ...partitionMapSettings(reader) });
  const map = parsePartitionMap(readFileSync(settings.partitionMapFile, 'utf8'));
  const log = createLogger('refused', 'error');
  const store = await LiveStore.connect({ redis: settings.redis, map, log });
  let failed = 0;
  for (let partition = 0; partition < map.partitions; partition++) {
    try {
      const all = await refusedOf(store, partition);
      const wanted = all.filter(({ driverId }) => (request.driver ?? driverId) === driverId);
      if (request.drop) await drop(store, partition, wanted);
      for (const position of wanted) show(partition, position, request);
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      process.stderr.write(`partition ${partition}: ${error.message}\n`);
      failed++;
    }
  }
  store.close();
  // A look at the cluster may still be under way, and nobody waits for it.
  process.exit(failed > 0 ? 1 : 0);
});

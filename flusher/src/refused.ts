// node flusher/dist/refused.js [--driver ID] [--drop] [--json]: which positions Postgres refuses, and stand in the cache
// alone. --drop gives them up, where somebody has decided that they are not worth keeping: they are not tried again, and
// leave the cache as any other does. Nothing else ever gives one up.

import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { LogStore } from '@whereabouts/infra/live-store/log-store';
import { StoreError } from '@whereabouts/infra/live-store/store-error';
import { parsePartitionMap } from '@whereabouts/infra/partition-map';
import { fromE7 } from '@whereabouts/infra/position';
import { launch } from '@whereabouts/infra/service/launch';
import { createLogger } from '@whereabouts/infra/service/log';
import { partitionMapSettings, redisSettings, SettingsReader } from '@whereabouts/infra/service/settings';
import type { FlushRow } from './flush-batch.js';
import { notedRecords } from './noted-records.js';

const USAGE = 'usage: node flusher/dist/refused.js [--driver ID] [--drop] [--json]';
/** In one call, during which the node does nothing else. */
const DROPPED_AT_ONCE = 512;

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

/** A note whose driver has a newer record is none that anybody misses: the flusher takes it back. */
async function refusedOf(store: LogStore, partition: number): Promise<FlushRow[]> {
  const { refused } = await store.refused(partition);
  return (await notedRecords(store, partition, refused)).rows;
}

async function drop(store: LogStore, partition: number, refused: readonly FlushRow[]): Promise<void> {
  const notes = refused.map(({ position: { driverId }, id }) => ({ driverId, id }));
  for (let at = 0; at < notes.length; at += DROPPED_AT_ONCE)
    await store.refuse(partition, notes.slice(at, at + DROPPED_AT_ONCE), false);
}

function show({ partition, position }: FlushRow, { drop, json }: Request): void {
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
  const store = await LogStore.connect({ redis: settings.redis, map, log });
  let failed = 0;
  for (let partition = 0; partition < map.partitions; partition++) {
    try {
      const all = await refusedOf(store, partition);
      const wanted = all.filter(({ position: { driverId } }) => (request.driver ?? driverId) === driverId);
      if (request.drop) await drop(store, partition, wanted);
      for (const row of wanted) show(row, request);
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      process.stderr.write(`partition ${partition}: ${error.message}\n`);
      failed++;
    }
  }
  store.close();
  // A read of the cluster may still be in flight; it would keep the process alive.
  process.exit(failed > 0 ? 1 : 0);
});

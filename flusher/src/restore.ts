// node flusher/dist/restore.js [--since RFC3339] [--json]: after the whole cache was lost, loads from Postgres the
// drivers who are not connected. They are found by id and nowhere else, until they report. May be run again.

import { readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { LogStore } from '@whereabouts/infra/live-store/log-store';
import { parsePartitionMap } from '@whereabouts/infra/partition-map';
import { BatchWriter } from '@whereabouts/infra/record';
import { launch } from '@whereabouts/infra/service/launch';
import { createLogger } from '@whereabouts/infra/service/log';
import { partitionMapSettings, redisSettings, SettingsReader } from '@whereabouts/infra/service/settings';
import { Archive } from './archive.js';
import { addKnown } from './known-positions.js';
import { dropPgEnvironment, postgresSettings } from './postgres-settings.js';
import { type RestoreCounts, restoreArchive } from './restoration.js';

const USAGE = 'usage: node flusher/dist/restore.js [--since 2030-01-31T00:00:00Z] [--json]';

interface Request {
  sinceMs: number;
  json: boolean;
}

function readRequest(): Request | null {
  try {
    const { values } = parseArgs({ options: { since: { type: 'string' }, json: { type: 'boolean' } } });
    const sinceMs = values.since === undefined ? 0 : Date.parse(values.since);
    return Number.isNaN(sinceMs) ? null : { sinceMs, json: values.json === true };
  } catch {
    return null;
  }
}

/** Anything may stand in the table. */
const quoted = (id: string) => JSON.stringify(id);
const line = (text: string) => process.stdout.write(`${text}\n`);

function show(event: 'progress' | 'restored', c: RestoreCounts, json: boolean): void {
  const { rows, restored, standing, tooOld, invalid, invalidIds, failed } = c;
  if (json) {
    const counts = { rows, restored, standing, too_old: tooOld, invalid, invalid_ids: invalidIds, failed };
    line(JSON.stringify({ event, ...counts }));
  } else if (event === 'progress') line(`${rows} rows read, ${restored} drivers restored ...`);
  else {
    line(`Restored ${restored} drivers of ${rows} in the archive: by id, as "source": "archive".`);
    line(`Left alone: ${standing} who are in the cache, ${tooOld} too old, ${invalid} that cannot be read.`);
    if (invalidIds.length > 0)
      line(`Cannot be read, the first of them: ${invalidIds.map(quoted).join(', ')}.`);
    if (failed > 0) line(`Not restored: ${failed}, their regions did not answer. Run it again.`);
  }
}

await launch('restore', async () => {
  const request = readRequest();
  if (request === null) {
    process.stderr.write(`${USAGE}\n`);
    process.exit(64);
  }
  const reader = new SettingsReader(process.env);
  const settings = reader.finish({
    redis: redisSettings(reader),
    ...partitionMapSettings(reader),
    postgres: postgresSettings(reader),
  });
  dropPgEnvironment(process.env);
  const map = parsePartitionMap(readFileSync(settings.partitionMapFile, 'utf8'));
  const log = createLogger('restore', 'error');
  const archive = new Archive({
    postgres: settings.postgres,
    mapHash: map.hash,
    reached: () => {},
    onConnectionLost: (error) => log.warn({ err: error }, 'a connection to Postgres was lost'),
  });
  const store = await LogStore.connect({ redis: settings.redis, map, log, loadsFunctions: true });
  const counts = await restoreArchive({
    map,
    sinceMs: request.sinceMs,
    readPage: (after, limit) => archive.readPositions(after, limit),
    archiveNowMs: () => archive.nowMs(),
    addKnown: (partition, known) => addKnown(store, partition, known),
    send: (partition, positions) => {
      const batch = new BatchWriter();
      for (const position of positions) batch.add(position, true);
      return store.append(partition, batch.bytes(), batch.count);
    },
    wait: delay,
    random: Math.random,
    progress: (soFar) => show('progress', soFar, request.json),
  });
  store.close();
  await archive.close();
  show('restored', counts, request.json);
  // A read of the cluster may still be in flight; it would keep the process alive.
  process.exit(counts.failed > 0 ? 1 : 0);
});

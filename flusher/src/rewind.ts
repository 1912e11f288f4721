// node flusher/dist/rewind.js [--partition N] [--since RFC3339]: has the flushers write to Postgres again whatever
// the cache still holds, of one partition or of all, also what Postgres refused before. For when somebody has changed the
// table behind our back: that Postgres was restored from an older copy the flushers see for themselves.

import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { LogStore } from '@whereabouts/infra/live-store/log-store';
import { parsePartitionMap } from '@whereabouts/infra/partition-map';
import { launch } from '@whereabouts/infra/service/launch';
import { createLogger } from '@whereabouts/infra/service/log';
import { partitionMapSettings, redisSettings, SettingsReader } from '@whereabouts/infra/service/settings';

const USAGE = 'usage: node flusher/dist/rewind.js [--partition N] [--since 2030-01-31T00:00:00Z]';
const DAY_MS = 86_400_000;

interface Request {
  partition: number | null;
  sinceMs: number;
}

function readRequest(): Request | null {
  try {
    const { values } = parseArgs({ options: { partition: { type: 'string' }, since: { type: 'string' } } });
    const { partition: given } = values;
    const partition = given === undefined ? null : /^\d+$/.test(given) ? Number(given) : Number.NaN;
    // If no time is given since when Postgres may lack positions, the loss window shows a day.
    const sinceMs = values.since === undefined ? Date.now() - DAY_MS : Date.parse(values.since);
    const isGood = (partition === null || Number.isInteger(partition)) && !Number.isNaN(sinceMs);
    return isGood ? { partition, sinceMs } : null;
  } catch {
    return null;
  }
}

await launch('rewind', async () => {
  const request = readRequest();
  const reader = new SettingsReader(process.env);
  const settings = reader.finish({ redis: redisSettings(reader), ...partitionMapSettings(reader) });
  const map = parsePartitionMap(readFileSync(settings.partitionMapFile, 'utf8'));
  if (request === null || !(request.partition === null || map.partitions > request.partition)) {
    process.stderr.write(`${USAGE}; the map has ${map.partitions} partitions\n`);
    process.exit(64);
  }
  const log = createLogger('rewind', 'error');
  const store = await LogStore.connect({ redis: settings.redis, map, log });
  const { partition, sinceMs } = request;
  const wanted = partition === null ? Array.from({ length: map.partitions }, (_, i) => i) : [partition];
  const results = await Promise.allSettled(wanted.map((each) => store.rewind(each, sinceMs)));
  store.close();
  for (const [i, result] of results.entries()) {
    const what = result.status === 'fulfilled' ? 'rewound' : `not rewound: ${result.reason}`;
    process.stdout.write(`partition ${wanted[i]} ${what}\n`);
  }
  // A read of the cluster may still be in flight; it would keep the process alive.
  process.exit(results.some(({ status }) => status === 'rejected') ? 1 : 0);
});

// `npm run restore`: flusher/src/restore.ts with the environment of the running stack.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { redisUrlOf } from '@whereabouts/infra/node-address';
import { command, runMain } from './cli.js';
import { home, root } from './home.js';
import { stackSecrets } from './stack/secrets.js';
import { restoreEnv } from './stack/service-env.js';
import { runningStack } from './stack-file.js';
import { UsageError } from './usage-error.js';

function time(text: string): string {
  if (!Number.isNaN(Date.parse(text))) return text;
  throw new UsageError(`--since must be a time such as 2030-01-31T00:00:00Z, got ${text}`);
}

const program = command('run restore', {
  about: 'After the loss of the whole cache: loads the drivers who are not connected from Postgres.',
  examples: ['', '--since 2030-01-31T00:00:00Z'],
  notes: [
    'They are found by id, as "source": "archive", and are in no other answer until they report.',
    'Connected drivers come back without it. It does no harm to run it twice, or when nothing was lost.',
  ],
})
  .option('--since <TIME>', 'only drivers that reported since then, RFC 3339 (default: everyone)', time)
  .action(async ({ since, json }) => {
    const { redis, partitionMapFile, postgres } = runningStack();
    const env = restoreEnv({
      secrets: stackSecrets(home),
      redisUrls: redis.map(redisUrlOf),
      partitionMapFile,
      databaseUrl: postgres.url,
    });
    const passed = [...(since === undefined ? [] : ['--since', since]), ...(json ? ['--json'] : [])];
    const child = spawn(process.execPath, [join(root, 'flusher', 'dist', 'restore.js'), ...passed], {
      stdio: 'inherit',
      env,
    });
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => child.kill(signal));
    const [code] = await once(child, 'exit');
    process.exit((code as number | null) ?? 1);
  });

await runMain(program);

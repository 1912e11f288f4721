// `npm run clean`: removes everything that runs of this clone have made, even if Postgres's data had to live elsewhere.
import { existsSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { removePostgresData } from '@whereabouts/infra/local/postgres-server';
import { command, runMain } from './cli.js';
import { home } from './home.js';
import { refuseSharedHome } from './private-home.js';
import { OwnProcesses } from './stack/own-processes.js';
import { isStackRunning } from './stack-file.js';
import { UsageError } from './usage-error.js';

const program = command('run clean', {
  about:
    'Removes all data, logs and secrets of this clone: .whereabouts/, and Postgres data elsewhere, if any.',
  examples: [''],
}).action(async ({ json }) => {
  refuseSharedHome(home);
  if (isStackRunning()) throw new UsageError('The stack of this clone is running. Stop it first (Ctrl-C).');
  const removed: string[] = [];
  const say = (text: string) => console.error(text);
  if (existsSync(home)) {
    await new OwnProcesses(home).stopStrays(say);
    removed.push(...(await removePostgresData(join(home, 'postgres'), say)));
    await rm(home, { recursive: true, force: true });
    removed.push(home);
  }
  if (json) console.log(JSON.stringify({ removed }));
  else console.log(removed.length === 0 ? 'There was nothing to remove.' : `Removed ${removed.join(', ')}`);
});

await runMain(program);

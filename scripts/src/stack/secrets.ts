// The stack's secrets, for development only. They are made once and kept, so that tokens and the database's roles
// outlive a restart.
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export interface StackSecrets {
  /** HS256. */
  jwtSecretFile: string;
  redis: { ingest: string; flusher: string; query: string; promoter: string; reader: string };
  postgres: { migrator: string; flusher: string };
}

const random = () => randomBytes(32).toString('hex');

function kept(file: string, make: () => string): string {
  if (!existsSync(file)) writeFileSync(file, make(), { mode: 0o600 });
  return readFileSync(file, 'utf8');
}

export function stackSecrets(home: string): StackSecrets {
  mkdirSync(home, { recursive: true });
  const jwtSecretFile = join(home, 'jwt-secret');
  kept(jwtSecretFile, random);
  const names = [
    'redis_ingest',
    'redis_flusher',
    'redis_query',
    'redis_promoter',
    'redis_reader',
    'migrator',
    'flusher',
  ];
  const make = () => JSON.stringify(Object.fromEntries(names.map((name) => [name, random()])));
  const passwords = JSON.parse(kept(join(home, 'passwords.json'), make)) as Record<string, string>;
  const password = (name: string): string => {
    const found = passwords[name];
    if (found === undefined) throw new Error(`${home}/passwords.json lacks ${name}; see npm run clean`);
    return found;
  };
  return {
    jwtSecretFile,
    redis: {
      ingest: password('redis_ingest'),
      flusher: password('redis_flusher'),
      query: password('redis_query'),
      promoter: password('redis_promoter'),
      reader: password('redis_reader'),
    },
    postgres: { migrator: password('migrator'), flusher: password('flusher') },
  };
}

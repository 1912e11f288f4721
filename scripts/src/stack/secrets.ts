// The stack's secrets, for development only. They are made once and kept, so that tokens and the database's roles
// outlive a restart. Damaged ones are replaced: the servers get theirs at every start, so only tokens handed out before
// become void.
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import {
  BrokenStateError,
  readStateFile,
  readStateJson,
  writeStateFile,
} from '@whereabouts/infra/local/state-file';

export interface StackSecrets {
  /** HS256. */
  jwtSecretFile: string;
  redis: { ingest: string; flusher: string; query: string; promoter: string; reader: string };
  postgres: { migrator: string; flusher: string };
}

const PASSWORDS = [
  'redis_ingest',
  'redis_flusher',
  'redis_query',
  'redis_promoter',
  'redis_reader',
  'migrator',
  'flusher',
] as const;

type Passwords = Record<(typeof PASSWORDS)[number], string>;

/** The services require a JWT secret of at least 32 bytes. A shorter file was cut off while it was written. */
const SECRET = /^\S{32,}$/;
const random = () => randomBytes(32).toString('hex');

const arePasswords = (value: unknown): value is Passwords =>
  PASSWORDS.every((name) => SECRET.test(String((value as Partial<Passwords> | null)?.[name])));

type Say = (text: string) => void;

const sayDamaged = (file: string, say: Say) => say(`${file} was empty or damaged, and is replaced.`);

function keptPasswords(file: string, say: Say): Passwords {
  try {
    const kept = readStateJson(file, arePasswords);
    if (kept !== null) return kept;
  } catch (error) {
    if (!(error instanceof BrokenStateError)) throw error;
    sayDamaged(file, say);
  }
  const made = Object.fromEntries(PASSWORDS.map((name) => [name, random()])) as Passwords;
  writeStateFile(file, JSON.stringify(made));
  return made;
}

function keepJwtSecret(file: string, say: Say): void {
  const kept = readStateFile(file);
  if (kept !== null && SECRET.test(kept.trim())) return;
  if (kept !== null) sayDamaged(file, say);
  writeStateFile(file, random());
}

export function stackSecrets(home: string, say: Say = () => {}): StackSecrets {
  const jwtSecretFile = join(home, 'jwt-secret');
  keepJwtSecret(jwtSecretFile, say);
  const passwords = keptPasswords(join(home, 'passwords.json'), say);
  return {
    jwtSecretFile,
    redis: {
      ingest: passwords.redis_ingest,
      flusher: passwords.redis_flusher,
      query: passwords.redis_query,
      promoter: passwords.redis_promoter,
      reader: passwords.redis_reader,
    },
    postgres: { migrator: passwords.migrator, flusher: passwords.flusher },
  };
}

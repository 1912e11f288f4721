// The servers that `npm start` and `npm test` need: found, or installed on systems that we support.
import {
  embeddedPostgresBinDir,
  isUsableRedis,
  lookForPostgresBinDir,
  lookForRedisServer,
  MIN_POSTGRES_MAJOR,
  MIN_REDIS_MAJOR,
  MissingServerError,
} from '@whereabouts/infra/local/find-servers';
import { home } from '../home.js';
import { linkEmbeddedLibraries } from './embedded-postgres.js';
import { installRedisAsRoot, isDebianLike, unpackedRedis, unpackRedis } from './install-redis.js';

type Say = (text: string) => void;

/** What to type if we cannot install it ourselves. */
function redisAdvice(): string {
  const what = `redis-server ${MIN_REDIS_MAJOR} or newer (or valkey-server) is needed and was not found`;
  if (process.platform === 'darwin') return `${what}. Type: brew install redis`;
  if (isDebianLike()) return `${what}. Type: sudo apt-get install redis-server (this release may be too old)`;
  return `${what}. Install it with your package manager, for example: sudo dnf install valkey`;
}

function postgresAdvice(): string {
  const what = `Postgres ${MIN_POSTGRES_MAJOR} or newer is needed and was not found`;
  if (process.platform === 'darwin') return `${what}. Type: brew install postgresql@17`;
  if (isDebianLike()) return `${what}. Type: sudo apt-get install postgresql, or set DATABASE_URL`;
  return `${what}. Install it with your package manager, or set DATABASE_URL`;
}

async function installRedis(say: Say): Promise<string | null> {
  if (!isDebianLike()) return null;
  if (process.getuid?.() === 0) {
    say('Installing redis-server (apt-get install) ...');
    await installRedisAsRoot();
    return lookForRedisServer();
  }
  say('Fetching redis-server into .whereabouts/redis (apt-get download) ...');
  const path = await unpackRedis(home);
  return (await isUsableRedis(path)) ? path : null;
}

export async function provideRedis(say: Say): Promise<string> {
  const found = await lookForRedisServer([unpackedRedis(home)]);
  if (found) return found;
  let cause: unknown;
  const installed = await installRedis(say).catch((error: unknown) => {
    cause = error;
    return null;
  });
  if (installed) return installed;
  throw new MissingServerError(redisAdvice(), { cause });
}

export async function providePostgres(): Promise<string> {
  const dir = await lookForPostgresBinDir();
  if (dir === null) throw new MissingServerError(postgresAdvice());
  if (dir === embeddedPostgresBinDir()) await linkEmbeddedLibraries(dir);
  return dir;
}

export async function provideServers(say: Say): Promise<{ redisServer: string; postgresBinDir: string }> {
  return { redisServer: await provideRedis(say), postgresBinDir: await providePostgres() };
}

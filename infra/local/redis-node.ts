// One Redis Cluster node: its folder, its settings, its process. Each setting that is not Redis's own default
// says why it is so.
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Redis } from 'ioredis';
import { formatAddress } from '../src/node-address.js';
import { plainConnection } from './reader-connection.js';
import { type ServerProcess, startServer, waitFor } from './server-process.js';
import { writeStateFile } from './state-file.js';

/** `rules` as in an ACL file, for example `~{*}* +fcall +ping`. */
export interface RedisUser {
  name: string;
  password: string;
  rules: string;
}

/** The same for all nodes of a cluster. */
export interface RedisPasswords {
  /** Of the user `default`, who may do everything. */
  admin: string;
  /** Of the replicas at their masters: theirs stands in redis.conf. */
  replica: string;
}

export interface RedisNodeSettings {
  redisServer: string;
  /** The command before it, if it runs in a namespace. */
  launchPrefix?: readonly string[];
  dir: string;
  host: string;
  port: number;
  appendfsync: 'everysec' | 'always';
  nodeTimeoutMs: number;
  locale: string;
  users: readonly RedisUser[];
  /** Undefined: everybody may do everything. */
  passwords: RedisPasswords | undefined;
  orphanGraceS: number;
}

const START_DEADLINE_MS = 20_000;
/** Redis waits this long for replicas that lag before it stops; ours are stopped at the same moment. */
const SHUTDOWN_TIMEOUT_S = 2;
export const STOP_DEADLINE_MS = 8_000;

/** What a replica needs at its master, and nothing else. */
const REPLICA = { name: 'replica', rules: 'resetchannels -@all +psync +replconf +ping' } as const;

const quoted = (text: string) => JSON.stringify(text);

function nodeConfiguration(s: RedisNodeSettings): string {
  const lines = [
    `port ${s.port}`,
    `bind ${s.host}`,
    'protected-mode yes',
    `dir ${quoted(s.dir)}`,
    // The command line then names this folder, by which a stray server is known.
    'set-proc-title no',
    'cluster-enabled yes',
    'cluster-config-file nodes.conf',
    `cluster-node-timeout ${s.nodeTimeoutMs}`,
    // One lost shard must not stop the rest; reads carry their age.
    'cluster-require-full-coverage no',
    'cluster-allow-reads-when-down yes',
    // A replica of any age may be promoted: it is healed by recording again.
    'cluster-replica-validity-factor 0',
    'cluster-allow-replica-migration no',
    // The write-ahead log of the cache: without it a fast restart comes back empty and erases its replica.
    'appendonly yes',
    `appendfsync ${s.appendfsync}`,
    'save ""',
    // Of a few hundred drivers a list would do, but each look into it reads half of it.
    'hash-max-listpack-entries 64',
    // A full node refuses writes; it never loses a position silently.
    'maxmemory-policy noeviction',
    'repl-diskless-sync yes',
    'repl-diskless-sync-delay 0',
    'repl-backlog-size 16mb',
    `shutdown-timeout ${SHUTDOWN_TIMEOUT_S}`,
    `aclfile ${quoted(join(s.dir, 'users.acl'))}`,
  ];
  if (s.passwords !== undefined) {
    lines.push(`masteruser ${REPLICA.name}`, `masterauth ${quoted(s.passwords.replica)}`);
  }
  return `${lines.join('\n')}\n`;
}

function aclFile({ passwords, users }: RedisNodeSettings): string {
  const user = (name: string, secret: string, rules: string) => `user ${name} on ${secret} ${rules}\n`;
  const lines = [user('default', passwords === undefined ? 'nopass' : `>${passwords.admin}`, '~* &* +@all')];
  if (passwords !== undefined) lines.push(user(REPLICA.name, `>${passwords.replica}`, REPLICA.rules));
  for (const { name, password, rules } of users) lines.push(user(name, `>${password}`, rules));
  return lines.join('');
}

/** As the user `default`. */
export function adminConnection(address: string, password: string | undefined): Redis {
  const identity = password === undefined ? {} : { password };
  return plainConnection(address, identity, { connectTimeout: 2_000, commandTimeout: 5_000 });
}

export async function withAdmin<T>(
  address: string,
  password: string | undefined,
  use: (connection: Redis) => Promise<T>,
): Promise<T> {
  const connection = adminConnection(address, password);
  try {
    await connection.connect();
    return await use(connection);
  } finally {
    connection.disconnect();
  }
}

/** Starts the node and waits until it answers; a node that still loads its data answers LOADING to PING. */
export async function startRedisNode(settings: RedisNodeSettings): Promise<ServerProcess> {
  const { dir, launchPrefix = [] } = settings;
  const address = formatAddress(settings);
  await mkdir(dir, { recursive: true, mode: 0o700 });
  const configuration = join(dir, 'redis.conf');
  const logFile = join(dir, 'redis.log');
  writeStateFile(configuration, nodeConfiguration(settings));
  writeStateFile(join(dir, 'users.acl'), aclFile(settings));
  const [command, ...args] = [...launchPrefix, settings.redisServer, configuration];
  const server = await startServer({
    command: command as string,
    args,
    logFile,
    // Lua compares strings by the locale's collation.
    env: { ...process.env, LC_ALL: settings.locale },
    stopSignal: 'SIGTERM',
    orphanGraceS: settings.orphanGraceS,
  });
  try {
    await waitFor(`Redis ${address} answers`, START_DEADLINE_MS, async () => {
      if (server.hasExited()) return 'exited';
      await withAdmin(address, settings.passwords?.admin, (connection) => connection.ping());
      return 'answered';
    });
    if (server.hasExited()) throw new Error(`Redis ${address} ended at its start; see ${logFile}`);
  } catch (error) {
    await server.stop(STOP_DEADLINE_MS);
    throw error;
  }
  return server;
}

// One Redis Cluster node: its folder, its settings, its process. Each setting that differs from Redis's default says
// why.
import { readFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { ConnectionOptions } from 'node:tls';
import type { Redis } from 'ioredis';
import { formatAddress } from '../src/node-address.js';
import { aclFile, REPLICA, type RedisUser } from '../src/redis-setup/users.js';
import { plainConnection } from './reader-connection.js';
import { endedAtStart, type ServerProcess, startServer, waitFor } from './server-process.js';
import { writeStateFile } from './state-file.js';

/** The same for all nodes of a cluster. */
export interface RedisPasswords {
  /** Password of the user `default`, which has all rights. */
  admin: string;
  /** Password of the replicas at their masters; redis.conf contains theirs. */
  replica: string;
}

/** Paths of PEM files. */
export interface RedisNodeTls {
  certFile: string;
  keyFile: string;
  caFile: string;
  /** Clients without a certificate of that authority are refused. */
  asksForCertificates: boolean;
  /** The name that the node announces, if any. */
  hostname?: string | undefined;
}

export interface RedisNodeSettings {
  redisServer: string;
  /** The command prefix, if it runs in a namespace. */
  launchPrefix?: readonly string[];
  dir: string;
  host: string;
  port: number;
  appendfsync: 'everysec' | 'always';
  nodeTimeoutMs: number;
  locale: string;
  users: readonly RedisUser[];
  /** Undefined: every client has all rights. */
  passwords: RedisPasswords | undefined;
  orphanGraceS: number;
  /** Undefined: in plain text. */
  tls?: RedisNodeTls | undefined;
  /** How its admin connects, with `tls`. */
  adminTls?: ConnectionOptions | undefined;
}

const START_DEADLINE_MS = 20_000;
/** Redis waits this long for replicas that lag before it stops; ours are stopped at the same moment. */
const SHUTDOWN_TIMEOUT_S = 2;
export const STOP_DEADLINE_MS = 8_000;

/** The settings of every node of a cluster, wherever it runs; settings after the include override them. */
const SHARED_CONFIGURATION = new URL('../../deploy/redis/redis.conf', import.meta.url);

const quoted = (text: string) => JSON.stringify(text);

function nodeConfiguration(s: RedisNodeSettings): string {
  const lines = [
    readFileSync(SHARED_CONFIGURATION, 'utf8'),
    ...portLines(s),
    `bind ${s.host}`,
    'protected-mode yes',
    `dir ${quoted(s.dir)}`,
    // The command line then contains this folder, which identifies a stray server.
    'set-proc-title no',
    `cluster-node-timeout ${s.nodeTimeoutMs}`,
    `appendfsync ${s.appendfsync}`,
    `shutdown-timeout ${SHUTDOWN_TIMEOUT_S}`,
    `aclfile ${quoted(join(s.dir, 'users.acl'))}`,
  ];
  if (s.passwords !== undefined) {
    lines.push(`masteruser ${REPLICA.name}`, `masterauth ${quoted(s.passwords.replica)}`);
  }
  return `${lines.join('\n')}\n`;
}

function portLines({ port, tls }: RedisNodeSettings): string[] {
  if (tls === undefined) return [`port ${port}`];
  return [
    'port 0',
    `tls-port ${port}`,
    'tls-cluster yes',
    'tls-replication yes',
    `tls-cert-file ${quoted(tls.certFile)}`,
    `tls-key-file ${quoted(tls.keyFile)}`,
    `tls-ca-cert-file ${quoted(tls.caFile)}`,
    `tls-auth-clients ${tls.asksForCertificates ? 'yes' : 'no'}`,
    ...(tls.hostname === undefined ? [] : [`cluster-announce-hostname ${tls.hostname}`]),
  ];
}

function aclOf({ passwords, users }: RedisNodeSettings): string {
  const { admin, replica } = passwords ?? { admin: null, replica: null };
  return aclFile({ admin, replica }, users, (password) => `>${password}`);
}

/** Connects as the user `default`. */
export function adminConnection(
  address: string,
  password: string | undefined,
  tls?: ConnectionOptions,
): Redis {
  const identity = password === undefined ? {} : { password };
  return plainConnection(address, identity, { connectTimeout: 2_000, commandTimeout: 5_000 }, tls);
}

export async function withAdmin<T>(
  address: string,
  password: string | undefined,
  use: (connection: Redis) => Promise<T>,
  tls?: ConnectionOptions,
): Promise<T> {
  const connection = adminConnection(address, password, tls);
  try {
    await connection.connect();
    return await use(connection);
  } finally {
    connection.disconnect();
  }
}

/** Starts the node and waits until it answers. A node that still loads its data answers LOADING to PING. */
export async function startRedisNode(settings: RedisNodeSettings): Promise<ServerProcess> {
  const { dir, launchPrefix = [] } = settings;
  const address = formatAddress(settings);
  await mkdir(dir, { recursive: true, mode: 0o700 });
  const configuration = join(dir, 'redis.conf');
  const logFile = join(dir, 'redis.log');
  writeStateFile(configuration, nodeConfiguration(settings));
  writeStateFile(join(dir, 'users.acl'), aclOf(settings));
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
      await withAdmin(address, settings.passwords?.admin, (node) => node.ping(), settings.adminTls);
      return 'answered';
    });
    if (server.hasExited()) throw endedAtStart(`Redis ${address}`, logFile);
  } catch (error) {
    await server.stop(STOP_DEADLINE_MS);
    throw error;
  }
  return server;
}

// A Redis Cluster of real servers for tests and for `npm start`.
//
//   dir/cluster.json      what was made here: { masters, replicas, ports }; written when the cluster is complete
//   dir/node-0 ... node-5 a folder for each node: redis.conf, nodes.conf, users.acl, its append-only file, redis.log
//
// Masters come first and own contiguous slot ranges in order, so that each owns one stretch of the map. With the
// same folder the cluster comes back by itself, with its data, also at other addresses. With a network namespace the
// master in the middle runs there, and all of them have addresses on its network; else all are on loopback.

import { randomBytes } from 'node:crypto';
import { mkdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { ConnectionOptions } from 'node:tls';
import { formatAddress, redisUrlOf } from '../src/node-address.js';
import type { RedisUser } from '../src/redis-setup/users.js';
import { commandInside, type NetworkNamespace } from './network-namespace.js';
import { freeRedisPorts, REDIS_BUS_OFFSET } from './ports.js';
import { joinCluster, waitForCluster } from './redis-cluster-join.js';
import {
  type RedisNodeTls,
  type RedisPasswords,
  STOP_DEADLINE_MS,
  startRedisNode,
  withAdmin,
} from './redis-node.js';
import type { ServerProcess } from './server-process.js';
import { isRecord, readStateJson, writeStateFile } from './state-file.js';

export interface RedisNode {
  host: string;
  port: number;
  pid: number;
  role: 'master' | 'replica';
}

export interface RedisClusterOptions {
  masters: number;
  /** Replicas of each master. */
  replicas: number;
  dir: string;
  ports?: readonly number[];
  /** The address of all nodes, except one in a namespace; IPv4 loopback by default. */
  host?: string;
  /** Only with `users`: without passwords Redis accepts connections from loopback only. */
  namespace?: NetworkNamespace | null;
  appendfsync?: 'everysec' | 'always';
  users?: readonly RedisUser[];
  redisServer: string;
  nodeTimeoutMs?: number;
  /** LC_ALL of the servers; C, unless a test needs another collation. */
  locale?: string;
  orphanGraceS?: number;
  /** Undefined: in plain text. `admin`: how we connect; `hostnames`: what the nodes announce, in their order. */
  tls?: RedisNodeTls & { admin: ConnectionOptions; hostnames?: readonly string[] };
  log?: (text: string) => void;
}

export interface RedisCluster {
  /** The nodes as they were last started, with the roles at that time. */
  readonly nodes: RedisNode[];
  readonly urls: string[];
  /** Password of the user `default`, which has all rights; undefined if no users were requested. */
  readonly password: string | undefined;
  /** Stops it if it runs, then starts it in its folder. */
  restartNode(port: number): Promise<RedisNode>;
  kill(port: number, signal: NodeJS.Signals): void;
  stop(): Promise<void>;
}

/** The folder holds a cluster of another shape, so its data cannot be kept. */
export class ClusterShapeError extends Error {
  readonly code = 'cluster_shape';
}

/** The address that a node runs at. */
interface RedisPlace {
  host: string;
  port: number;
  launchPrefix: readonly string[];
}

interface ClusterFile {
  masters: number;
  replicas: number;
  ports: number[];
}

const LOOPBACK = '127.0.0.1';

function placesOf(
  { masters, namespace, host = LOOPBACK }: RedisClusterOptions,
  ports: readonly number[],
): RedisPlace[] {
  const middle = Math.floor(masters / 2);
  return ports.map((port, index) => {
    if (!namespace) return { host, port, launchPrefix: [] };
    if (index !== middle) return { host: namespace.hostAddress, port, launchPrefix: [] };
    return { host: namespace.address, port, launchPrefix: commandInside(namespace.name) };
  });
}

const clusterFile = (dir: string) => join(dir, 'cluster.json');
const nodeDir = (dir: string, index: number) => join(dir, `node-${index}`);

const isClusterFile = (value: unknown): value is ClusterFile =>
  isRecord(value) && Array.isArray(value.ports) && value.ports.every(Number.isInteger);

const readClusterFile = (dir: string): ClusterFile | null => readStateJson(clusterFile(dir), isClusterFile);

function writeClusterFile(dir: string, content: ClusterFile): void {
  writeStateFile(clusterFile(dir), JSON.stringify(content));
}

/** The nodes know each other by address, so the current addresses are written into every nodes.conf before the start. */
async function moveNodes(dir: string, from: readonly number[], to: readonly RedisPlace[]): Promise<void> {
  const moved = new Map(from.map((port, index) => [port, to[index] as RedisPlace]));
  for (const index of to.keys()) {
    const file = join(nodeDir(dir, index), 'nodes.conf');
    const text = await readFile(file, 'utf8');
    const rewritten = text.replace(/\S*:(\d+)@\d+/g, (whole, known: string) => {
      const place = moved.get(Number(known));
      return place === undefined ? whole : `${place.host}:${place.port}@${place.port + REDIS_BUS_OFFSET}`;
    });
    writeStateFile(file, rewritten);
  }
}

/** Reuses what an earlier start left in the folder; returns whether there is a cluster with its data. */
async function prepareFolder(options: RedisClusterOptions, places: readonly RedisPlace[]): Promise<boolean> {
  const { dir, masters, replicas } = options;
  const earlier = readClusterFile(dir);
  if (earlier === null) {
    // Nothing, or a cluster whose creation was interrupted.
    for (const index of places.keys()) await rm(nodeDir(dir, index), { recursive: true, force: true });
    return false;
  }
  if (earlier.masters !== masters || earlier.replicas !== replicas) {
    throw new ClusterShapeError(
      `${dir} holds a cluster of ${earlier.masters} masters with ${earlier.replicas} replicas each, ` +
        `not of ${masters} with ${replicas}`,
    );
  }
  await moveNodes(dir, earlier.ports, places);
  writeClusterFile(dir, { masters, replicas, ports: places.map(({ port }) => port) });
  return true;
}

async function roleOf(
  address: string,
  password: string | undefined,
  tls: ConnectionOptions | undefined,
): Promise<'master' | 'replica'> {
  const role = (await withAdmin(address, password, (connection) => connection.role(), tls)) as unknown[];
  return String(role[0]) === 'master' ? 'master' : 'replica';
}

class RunningCluster implements RedisCluster {
  readonly nodes: RedisNode[] = [];
  readonly urls: string[];
  readonly #processes = new Map<number, ServerProcess>();

  constructor(
    readonly options: RedisClusterOptions,
    readonly places: readonly RedisPlace[],
    readonly passwords: RedisPasswords | undefined,
  ) {
    const { tls } = options;
    this.urls = places.map((place) =>
      tls === undefined ? redisUrlOf(place) : `rediss://${formatAddress(place)}`,
    );
  }

  get password(): string | undefined {
    return this.passwords?.admin;
  }

  async launch(place: RedisPlace): Promise<ServerProcess> {
    const { options } = this;
    const index = this.places.indexOf(place);
    const { tls } = options;
    const server = await startRedisNode({
      redisServer: options.redisServer,
      dir: nodeDir(options.dir, index),
      ...place,
      appendfsync: options.appendfsync ?? 'everysec',
      nodeTimeoutMs: options.nodeTimeoutMs ?? 1_000,
      locale: options.locale ?? 'C',
      users: options.users ?? [],
      passwords: this.passwords,
      adminTls: tls?.admin,
      tls: tls && { ...tls, hostname: tls.hostnames?.[index] },
      orphanGraceS: options.orphanGraceS ?? 0,
    });
    this.#processes.set(place.port, server);
    return server;
  }

  async describe(place: RedisPlace): Promise<RedisNode> {
    const { host, port } = place;
    const { pid } = this.#process(port);
    return {
      host,
      port,
      pid,
      role: await roleOf(formatAddress(place), this.password, this.options.tls?.admin),
    };
  }

  async restartNode(port: number): Promise<RedisNode> {
    await this.#process(port).stop(STOP_DEADLINE_MS);
    const index = this.places.findIndex((place) => place.port === port);
    const place = this.places[index] as RedisPlace;
    await this.launch(place);
    const node = await this.describe(place);
    this.nodes[index] = node;
    return node;
  }

  kill(port: number, signal: NodeJS.Signals): void {
    this.#process(port).kill(signal);
  }

  async stop(): Promise<void> {
    await Promise.all([...this.#processes.values()].map((server) => server.stop(STOP_DEADLINE_MS)));
  }

  #process(port: number): ServerProcess {
    const server = this.#processes.get(port);
    if (server === undefined) throw new Error(`No node of this cluster on port ${port}`);
    return server;
  }
}

export async function startRedisCluster(options: RedisClusterOptions): Promise<RedisCluster> {
  const { dir, masters, replicas } = options;
  const count = masters * (1 + replicas);
  await mkdir(dir, { recursive: true, mode: 0o700 });
  const ports = options.ports ?? (await freeRedisPorts(count));
  if (ports.length !== count) throw new Error(`${count} ports are needed, not ${ports.length}`);
  const places = placesOf(options, ports);
  const kept = await prepareFolder(options, places);
  const secret = () => randomBytes(16).toString('hex');
  const passwords = options.users?.length ? { admin: secret(), replica: secret() } : undefined;
  const cluster = new RunningCluster(options, places, passwords);
  const shape = {
    addresses: places.map(formatAddress),
    masters,
    replicas,
    password: passwords?.admin,
    tls: options.tls?.admin,
  };
  try {
    await Promise.all(places.map((place) => cluster.launch(place)));
    if (!kept) {
      options.log?.(`joining ${masters} masters and ${masters * replicas} replicas to a cluster`);
      await joinCluster(shape);
    }
    await waitForCluster(shape);
    if (!kept) writeClusterFile(dir, { masters, replicas, ports: [...ports] });
    for (const place of places) cluster.nodes.push(await cluster.describe(place));
    return cluster;
  } catch (error) {
    await cluster.stop();
    throw error;
  }
}

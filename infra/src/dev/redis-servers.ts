// A Redis Cluster of real servers for tests and for `npm start`.
//
//   dir/cluster.json      what was made here: { masters, replicas, ports }; written when the cluster is complete
//   dir/node-0 ... node-5 a folder for each node: redis.conf, nodes.conf, users.acl, its append-only file, redis.log
//
// Masters come first and own contiguous slot ranges in order, so that each owns one stretch of the map. With the
// same folder the cluster comes back by itself, with its data, also on other ports.
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { freeRedisPorts, REDIS_BUS_OFFSET } from './ports.js';
import { joinCluster, waitForCluster } from './redis-cluster-join.js';
import { type RedisUser, STOP_DEADLINE_MS, startRedisNode, withAdmin } from './redis-node.js';
import type { ServerProcess } from './server-process.js';

export type { RedisUser } from './redis-node.js';

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
  appendfsync?: 'everysec' | 'always';
  users?: readonly RedisUser[];
  redisServer: string;
  nodeTimeoutMs?: number;
  /** LC_ALL of the servers; C, unless a test wants to see another collation. */
  locale?: string;
  orphanGraceS?: number;
  log?: (text: string) => void;
}

export interface RedisCluster {
  /** The nodes as they were started last; roles as of the start. */
  readonly nodes: RedisNode[];
  readonly urls: string[];
  /** Of the user `default`, who may do everything; undefined where no users were asked for. */
  readonly password: string | undefined;
  restartNode(port: number): Promise<RedisNode>;
  kill(port: number, signal: NodeJS.Signals): void;
  stop(): Promise<void>;
}

/** The folder holds a cluster of another shape: its data cannot be kept. */
export class ClusterShapeError extends Error {
  readonly code = 'cluster_shape';
}

interface ClusterFile {
  masters: number;
  replicas: number;
  ports: number[];
}

const clusterFile = (dir: string) => join(dir, 'cluster.json');
const nodeDir = (dir: string, index: number) => join(dir, `node-${index}`);

async function readClusterFile(dir: string): Promise<ClusterFile | null> {
  if (!existsSync(clusterFile(dir))) return null;
  return JSON.parse(await readFile(clusterFile(dir), 'utf8')) as ClusterFile;
}

async function writeClusterFile(dir: string, content: ClusterFile): Promise<void> {
  await writeFile(`${clusterFile(dir)}.new`, JSON.stringify(content));
  await rename(`${clusterFile(dir)}.new`, clusterFile(dir));
}

/** The nodes know each other by address: where the ports changed, every nodes.conf is told before the start. */
async function movePorts(dir: string, from: readonly number[], to: readonly number[]): Promise<void> {
  const moved = new Map(from.map((port, index) => [port, to[index] as number]));
  for (const index of to.keys()) {
    const file = join(nodeDir(dir, index), 'nodes.conf');
    const text = await readFile(file, 'utf8');
    const rewritten = text.replace(/:(\d+)@\d+/g, (whole, port: string) => {
      const target = moved.get(Number(port));
      return target === undefined ? whole : `:${target}@${target + REDIS_BUS_OFFSET}`;
    });
    await writeFile(file, rewritten);
  }
}

/** Takes what an earlier start left in the folder; says whether there is a cluster with its data. */
async function prepareFolder(options: RedisClusterOptions, ports: readonly number[]): Promise<boolean> {
  const { dir, masters, replicas } = options;
  const earlier = await readClusterFile(dir);
  if (earlier === null) {
    // Nothing, or a cluster whose making was cut short.
    for (const index of ports.keys()) await rm(nodeDir(dir, index), { recursive: true, force: true });
    return false;
  }
  if (earlier.masters !== masters || earlier.replicas !== replicas) {
    throw new ClusterShapeError(
      `${dir} holds a cluster of ${earlier.masters} masters with ${earlier.replicas} replicas each, ` +
        `not of ${masters} with ${replicas}`,
    );
  }
  if (earlier.ports.some((port, index) => port !== ports[index])) {
    await movePorts(dir, earlier.ports, ports);
    await writeClusterFile(dir, { masters, replicas, ports: [...ports] });
  }
  return true;
}

async function roleOf(port: number, password: string | undefined): Promise<'master' | 'replica'> {
  const role = (await withAdmin(port, password, (connection) => connection.role())) as unknown[];
  return String(role[0]) === 'master' ? 'master' : 'replica';
}

class RunningCluster implements RedisCluster {
  readonly nodes: RedisNode[] = [];
  readonly urls: string[];
  readonly #processes = new Map<number, ServerProcess>();

  constructor(
    readonly options: RedisClusterOptions,
    readonly ports: readonly number[],
    readonly password: string | undefined,
  ) {
    this.urls = ports.map((port) => `redis://127.0.0.1:${port}`);
  }

  async launch(port: number): Promise<ServerProcess> {
    const { options } = this;
    const server = await startRedisNode({
      redisServer: options.redisServer,
      dir: nodeDir(options.dir, this.ports.indexOf(port)),
      port,
      appendfsync: options.appendfsync ?? 'everysec',
      nodeTimeoutMs: options.nodeTimeoutMs ?? 1_000,
      locale: options.locale ?? 'C',
      users: options.users ?? [],
      adminPassword: this.password,
      orphanGraceS: options.orphanGraceS ?? 0,
    });
    this.#processes.set(port, server);
    return server;
  }

  async describe(port: number): Promise<RedisNode> {
    const { pid } = this.#process(port);
    return { host: '127.0.0.1', port, pid, role: await roleOf(port, this.password) };
  }

  async restartNode(port: number): Promise<RedisNode> {
    await this.#process(port).stop(STOP_DEADLINE_MS);
    await this.launch(port);
    const node = await this.describe(port);
    this.nodes[this.ports.indexOf(port)] = node;
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
  await mkdir(dir, { recursive: true });
  const ports = options.ports ?? (await freeRedisPorts(count));
  if (ports.length !== count) throw new Error(`${count} ports are needed, not ${ports.length}`);
  const kept = await prepareFolder(options, ports);
  const password = options.users?.length ? randomBytes(16).toString('hex') : undefined;
  const cluster = new RunningCluster(options, ports, password);
  try {
    await Promise.all(ports.map((port) => cluster.launch(port)));
    if (!kept) {
      options.log?.(`joining ${masters} masters and ${masters * replicas} replicas to a cluster`);
      await joinCluster({ ports, masters, replicas, password });
    }
    await waitForCluster({ ports, masters, replicas, password });
    if (!kept) await writeClusterFile(dir, { masters, replicas, ports: [...ports] });
    for (const port of ports) cluster.nodes.push(await cluster.describe(port));
    return cluster;
  } catch (error) {
    await cluster.stop();
    throw error;
  }
}

// Ingest as it runs: processes of its own before a real cluster.
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { LogStore } from '@whereabouts/infra/live-store/log-store';
import { findRedisServer } from '@whereabouts/infra/local/find-servers';
import { freePorts } from '@whereabouts/infra/local/ports';
import { type RedisCluster, startRedisCluster } from '@whereabouts/infra/local/redis-servers';
import { evenPartitionMap, formatPartitionMap, type PartitionMap } from '@whereabouts/infra/partition-map';
import { pino } from 'pino';
import { TOKENS, until } from './edge-under-test.js';

const MAIN = fileURLToPath(new URL('../main.js', import.meta.url));
const QUIET = pino({ level: 'silent' });

export interface Ground {
  cluster: RedisCluster;
  map: PartitionMap;
  store: LogStore;
  env: NodeJS.ProcessEnv;
  stop(): Promise<void>;
}

export async function startGround(): Promise<Ground> {
  const dir = await mkdtemp(join(tmpdir(), 'whereabouts-ingest-'));
  const redisServer = await findRedisServer();
  const cluster = await startRedisCluster({ masters: 3, replicas: 0, dir, redisServer });
  const map = evenPartitionMap(16);
  const mapFile = join(dir, 'map.json');
  await writeFile(mapFile, formatPartitionMap(map));
  const redis = {
    redisUrls: cluster.urls,
    commandTimeoutMs: 300,
    connectTimeoutMs: 500,
    socketTimeoutMs: 500,
  };
  const store = await LogStore.connect({ redis, map, log: QUIET, loadsFunctions: true });
  return {
    cluster,
    map,
    store,
    env: {
      ...process.env,
      HOST: '127.0.0.1',
      LOG_LEVEL: 'info',
      REDIS_URL: cluster.urls.join(','),
      PARTITION_MAP_FILE: mapFile,
      JWT_SECRET: TOKENS.secret,
    },
    async stop() {
      store.close();
      await cluster.stop();
      await rm(dir, { recursive: true, force: true });
    },
  };
}

export class IngestProcess {
  readonly child: ChildProcess;
  readonly port: number;
  readonly opsPort: number;
  output = '';
  exitCode: number | null = null;

  private constructor(env: NodeJS.ProcessEnv, port: number, opsPort: number) {
    this.port = port;
    this.opsPort = opsPort;
    this.child = spawn(process.execPath, [MAIN], {
      env: { ...env, PORT: String(port), OPS_PORT: String(opsPort) },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    for (const stream of [this.child.stdout, this.child.stderr]) {
      stream?.on('data', (chunk: Buffer) => {
        this.output += chunk.toString();
      });
    }
    this.child.on('exit', (code) => {
      this.exitCode = code ?? -1;
    });
  }

  /** Resolves when it is ready. */
  static async start(ground: Ground, settings: NodeJS.ProcessEnv = {}): Promise<IngestProcess> {
    const [port, opsPort] = (await freePorts(2)) as [number, number];
    const started = new IngestProcess({ ...ground.env, ...settings }, port, opsPort);
    await started.becomes(200);
    return started;
  }

  static onPort(ground: Ground, port: number, settings: NodeJS.ProcessEnv): IngestProcess {
    return new IngestProcess({ ...ground.env, ...settings }, port, 0);
  }

  get url(): string {
    return `ws://127.0.0.1:${this.port}/v1/stream`;
  }

  /** What /readyz says; 0 where nobody answers. */
  async readyz(): Promise<number> {
    return (await this.ops('/readyz').catch(() => null))?.status ?? 0;
  }

  ops(path: string): Promise<Response> {
    return fetch(`http://127.0.0.1:${this.opsPort}${path}`);
  }

  async becomes(status: number): Promise<void> {
    const end = performance.now() + 20_000;
    while ((await this.readyz()) !== status) {
      if (this.exitCode !== null || performance.now() > end) throw new Error(`not ready: ${this.output}`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  async pids(): Promise<number[]> {
    const report = (await (await this.ops('/readyz?verbose')).json()) as { checks: { detail: string }[] };
    return report.checks.flatMap(({ detail }) => /^pid (\d+)/.exec(detail)?.slice(1).map(Number) ?? []);
  }

  async ends(): Promise<number | null> {
    await until(`the process ends: ${this.output.slice(-2000)}`, () => this.exitCode !== null, 15_000);
    return this.exitCode;
  }

  kill(): void {
    if (this.exitCode === null) this.child.kill('SIGKILL');
  }
}

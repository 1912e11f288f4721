// The flusher as a process, on the servers of a test.

import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { type LogFixture, startLogStore } from '@whereabouts/infra/live-store/testing/log-fixture';
import { formatPartitionMap } from '@whereabouts/infra/partition-map';
import { type ArchiveFixture, startArchive } from './archive-fixture.js';

const MAIN = fileURLToPath(new URL('../main.js', import.meta.url));

export interface Stack {
  redis: LogFixture;
  postgres: ArchiveFixture;
  env: NodeJS.ProcessEnv;
  flusher(env?: NodeJS.ProcessEnv): Flusher;
  /** With nothing else in its environment. */
  flusherWith(env: NodeJS.ProcessEnv): Flusher;
  stop(): Promise<void>;
}

/** Flushes ten times as often as by default, so that tests need not wait. */
export async function startStack(): Promise<Stack> {
  const dir = await mkdtemp(join(tmpdir(), 'whereabouts-flusher-'));
  const [redis, postgres] = await Promise.all([startLogStore(), startArchive()]);
  const mapFile = join(dir, 'map.json');
  writeFileSync(mapFile, formatPartitionMap(redis.map));
  const env = {
    HOST: '127.0.0.1',
    OPS_PORT: '0',
    REDIS_URL: redis.cluster.urls.join(','),
    DATABASE_URL: postgres.flusherUrl,
    PARTITION_MAP_FILE: mapFile,
    FLUSH_INTERVAL_MS: '500',
    LOG_LEVEL: 'info',
  };
  const flushers: Flusher[] = [];
  const flusherWith = (given: NodeJS.ProcessEnv) => {
    const flusher = new Flusher(given);
    flushers.push(flusher);
    return flusher;
  };
  return {
    redis,
    postgres,
    env,
    flusher: (more = {}) => flusherWith({ ...env, ...more }),
    flusherWith,
    async stop() {
      for (const { child } of flushers) child.kill('SIGKILL');
      await Promise.all([redis.stop(), postgres.stop()]);
      await rm(dir, { recursive: true, force: true });
    },
  };
}

export class Flusher {
  readonly child: ChildProcess;
  readonly lines: Record<string, unknown>[] = [];
  readonly exited: Promise<{ code: number | null; signal: NodeJS.Signals | null }>;
  stderr = '';

  constructor(env: NodeJS.ProcessEnv) {
    this.child = fork(MAIN, [], { stdio: ['ignore', 'pipe', 'pipe', 'ipc'], env });
    if (this.child.stdout) {
      createInterface(this.child.stdout).on('line', (line) => this.lines.push(JSON.parse(line)));
    }
    this.child.stderr?.on('data', (chunk) => {
      this.stderr += chunk;
    });
    this.exited = once(this.child, 'exit').then(([code, signal]) => ({ code, signal }));
  }

  kill(signal: NodeJS.Signals): void {
    this.child.kill(signal);
  }

  logged(msg: string): Promise<Record<string, unknown>> {
    return until(`"${msg}" is logged`, () => this.lines.find((line) => line.msg === msg)).catch((error) => {
      throw new Error(
        `${error.message}\n${this.lines.map((line) => JSON.stringify(line)).join('\n')}\n${this.stderr}`,
      );
    });
  }

  async get(path: string): Promise<{ status: number; text: string }> {
    const { ops_port: port } = await this.logged('flusher is running');
    const response = await fetch(`http://127.0.0.1:${port}${path}`);
    return { status: response.status, text: await response.text() };
  }

  /** The sum over its labels. */
  async metric(name: string): Promise<number> {
    const { text } = await this.get('/metrics');
    const values = [
      ...text.matchAll(new RegExp(`^whereabouts_flusher_${name}(?:\\{[^}]*\\})? (\\S+)$`, 'gm')),
    ];
    return values.reduce((sum, [, value]) => sum + Number(value), 0);
  }
}

/** Polls until `probe` gives something other than undefined and false. */
export async function until<T>(
  what: string,
  probe: () => Promise<T | undefined | false> | T | undefined | false,
  deadlineMs = 30_000,
): Promise<T> {
  for (const end = performance.now() + deadlineMs; ; await delay(20)) {
    const result = await probe();
    if (result !== undefined && result !== false) return result;
    if (performance.now() > end) throw new Error(`not within ${deadlineMs} ms: ${what}`);
  }
}

// A stack of its own for a bench, as `npm start` starts it, without a simulated fleet.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildPartitionMap, formatPartitionMap } from '@whereabouts/infra/partition-map';

const START = fileURLToPath(new URL('../../scripts/start.mjs', import.meta.url));
const RUN = fileURLToPath(new URL('../../scripts/run.mjs', import.meta.url));
const READY_DEADLINE_MS = 120_000;
const POLL_MS = 200;

interface StackFile {
  ready: boolean;
  ingest: { url: string; ops: string; pids: number[] };
  flusher: { ops: string; pid: number };
  redis: { port: number; pid: number; role: 'master' | 'replica' }[];
  postgres: { url: string };
  auth: { secretFile: string; issuer: string; audience: { ingest: string; query: string } };
}

export class BenchStack {
  readonly file: StackFile;
  readonly #child: ChildProcess;
  readonly #dir: string;

  private constructor(file: StackFile, child: ChildProcess, dir: string) {
    this.file = file;
    this.#child = child;
    this.#dir = dir;
  }

  static async start(
    places: readonly { lat: number; lon: number }[],
    env: Record<string, string>,
  ): Promise<BenchStack> {
    const dir = mkdtempSync(join(tmpdir(), 'whereabouts-bench-'));
    const mapFile = join(dir, 'partition-map.json');
    writeFileSync(mapFile, formatPartitionMap(buildPartitionMap(places)));
    const home = join(dir, 'home');
    const child = spawn(process.execPath, [START, '--json', '--drivers', '0', '--map', mapFile], {
      env: { ...process.env, ...env, WHEREABOUTS_HOME: home },
      stdio: ['ignore', 'ignore', 'inherit'],
    });
    const file = join(home, 'stack.json');
    const endMs = Date.now() + READY_DEADLINE_MS;
    for (;;) {
      if (existsSync(file)) {
        const stack = JSON.parse(readFileSync(file, 'utf8')) as StackFile;
        if (stack.ready) return new BenchStack(stack, child, dir);
      }
      if (child.exitCode !== null || Date.now() > endMs) throw new Error('the stack did not start');
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
  }

  pidsOf(role: 'master' | 'replica'): number[] {
    return this.file.redis.filter((node) => node.role === role).map((node) => node.pid);
  }

  async stop(): Promise<void> {
    this.#child.kill('SIGTERM');
    await once(this.#child, 'exit');
    const env = { ...process.env, WHEREABOUTS_HOME: join(this.#dir, 'home') };
    await once(spawn(process.execPath, [RUN, 'clean'], { env, stdio: 'ignore' }), 'exit');
    rmSync(this.#dir, { recursive: true, force: true });
  }
}

/** The sum of a counter over its labels that hold `having`. */
export async function counter(ops: string, name: string, having = ''): Promise<number> {
  const text = await (await fetch(`${ops}/metrics`)).text();
  let sum = 0;
  for (const line of text.split('\n')) {
    if (line.startsWith(name) && /^[ {]/.test(line.slice(name.length)) && line.includes(having)) {
      sum += Number(line.slice(line.lastIndexOf(' ') + 1));
    }
  }
  return sum;
}

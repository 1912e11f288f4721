// A separate `npm start` for end-to-end tests, drills and benches: in its own folder, without simulated drivers, with
// the caller's partition map, settings and options. It is a separate process and gets what a user's would get.
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { postgresPlace } from '@whereabouts/infra/local/postgres-place';
import { removePostgresData } from '@whereabouts/infra/local/postgres-server';
import { waitFor } from '@whereabouts/infra/local/server-process';
import { formatPartitionMap, type PartitionMap } from '@whereabouts/infra/partition-map';
import { root } from '../home.js';
import { findStack, type Stack } from '../stack-file.js';

const START = join(root, 'scripts', 'dist', 'start.js');
const START_DEADLINE_MS = 120_000;
const STOP_DEADLINE_MS = 90_000;

interface Line {
  event: string;
  text?: string;
  /** Of the live line. */
  troubles?: string[];
}

export class OwnStack {
  readonly map: PartitionMap;
  readonly home: string;
  readonly #dir: string;
  readonly #lines: Line[] = [];
  readonly #child: ChildProcess;

  private constructor(map: PartitionMap, env: Record<string, string>, options: readonly string[]) {
    this.map = map;
    this.#dir = mkdtempSync(join(tmpdir(), 'whereabouts-e2e-'));
    this.home = join(this.#dir, 'home');
    const mapFile = join(this.#dir, 'map.json');
    writeFileSync(mapFile, formatPartitionMap(map));
    this.#child = spawn(process.execPath, [START, '--json', '--drivers', '0', '--map', mapFile, ...options], {
      cwd: root,
      env: { ...process.env, ...env, WHEREABOUTS_HOME: this.home },
      // When this process dies the channel closes, and the stack stops by itself.
      stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
    });
    if (this.#child.stdout) {
      const lines = createInterface(this.#child.stdout);
      lines.on('line', (line) => this.#lines.push(JSON.parse(line) as Line));
    }
  }

  /** Resolves when every partition answers. */
  static async start(
    map: PartitionMap,
    env: Record<string, string> = {},
    options: readonly string[] = [],
  ): Promise<OwnStack> {
    const stack = new OwnStack(map, env, options);
    try {
      await waitFor('the stack is ready', START_DEADLINE_MS, () => {
        if (stack.#child.exitCode !== null) return true;
        return stack.#lines.some(({ event }) => event === 'ready') || undefined;
      });
      if (stack.#child.exitCode !== null) throw new Error('the stack ended at its start');
      return stack;
    } catch (cause) {
      const said = stack.#lines.map(({ event, text }) => `${event}: ${text}`).join('\n');
      await stack.stop().catch(() => {});
      throw new Error(`the stack did not start:\n${said}`, { cause });
    }
  }

  /** Where everything is now, with the current pids. */
  get now(): Stack {
    const stack = findStack(this.home);
    if (stack === null) throw new Error('the stack does not run');
    return stack;
  }

  /** An address of its Postgres for a role with all rights. */
  get archiveAdminUrl(): string {
    const url = new URL(this.now.postgres.url);
    url.username = 'whereabouts_admin';
    const file = join(postgresPlace(join(this.home, 'postgres')), 'password');
    url.password = readFileSync(file, 'utf8').trim();
    return url.href;
  }

  /** The last dark or down state on its live line. */
  get troubles(): string[] {
    return this.#lines.findLast(({ event }) => event === 'status')?.troubles ?? [];
  }

  /** Its messages about such events, in order. */
  said(event: string): string[] {
    return this.#lines.filter((line) => line.event === event).map(({ text }) => text ?? '');
  }

  /** `beforeRemoval`: for callers that still work on its data. */
  async stop(beforeRemoval: () => Promise<void> = async () => {}): Promise<void> {
    if (this.#child.exitCode === null) this.#child.kill('SIGTERM');
    await waitFor('the stack has stopped', STOP_DEADLINE_MS, () =>
      this.#child.exitCode !== null || this.#child.signalCode !== null ? true : undefined,
    );
    await beforeRemoval();
    await removePostgresData(join(this.home, 'postgres'));
    rmSync(this.#dir, { recursive: true, force: true });
    const failures = this.#lines.filter(({ event }) => event === 'stop_failed' || event === 'restarting');
    for (const { text } of failures) console.log(`the stack said: ${text}`);
  }
}

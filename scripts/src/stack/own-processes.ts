// .whereabouts/processes.json: every process that this clone's stack started, written before anything can go wrong
// with it. A run that was killed leaves it behind, and the next one ends what still runs.
//
// A pid alone proves nothing, numbers are used again: the command line must still hold the words it had.
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { commandLine, isAlive, stopStray } from '@whereabouts/infra/dev/server-process';

interface OwnProcess {
  pid: number;
  /** Part of its command line, such as the folder of its data. */
  marker: string;
  name: string;
  signal: NodeJS.Signals;
}

const STRAY_DEADLINE_MS = 10_000;

export class OwnProcesses {
  readonly #file: string;
  #list: OwnProcess[] = [];

  constructor(home: string) {
    mkdirSync(home, { recursive: true });
    this.#file = join(home, 'processes.json');
  }

  add(process: OwnProcess): void {
    this.#list.push(process);
    this.#write();
  }

  remove(pid: number): void {
    this.#list = this.#list.filter((process) => process.pid !== pid);
    this.#write();
  }

  /** Nothing runs any more. */
  clear(): void {
    this.#list = [];
    rmSync(this.#file, { force: true });
  }

  /** What an earlier run left; those that do not run any more are forgotten. */
  strays(): OwnProcess[] {
    if (!existsSync(this.#file)) return [];
    const listed = JSON.parse(readFileSync(this.#file, 'utf8')) as OwnProcess[];
    return listed.filter(({ pid, marker }) => isAlive(pid) && commandLine(pid)?.includes(marker));
  }

  /** Services before servers, in the order in which they were started, last first. */
  async stopStrays(say: (text: string) => void): Promise<void> {
    for (const { pid, name, signal } of this.strays().reverse()) {
      say(`Stopping ${name} (${pid}), left by an earlier run ...`);
      await stopStray(pid, signal, STRAY_DEADLINE_MS);
    }
    this.clear();
  }

  #write(): void {
    writeFileSync(`${this.#file}.new`, JSON.stringify(this.#list));
    renameSync(`${this.#file}.new`, this.#file);
  }
}

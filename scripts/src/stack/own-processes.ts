// .whereabouts/processes.json: every process that this clone's stack started, written before anything can go wrong with
// it. A killed run leaves the file behind, and the next run ends what is still running.
//
//  A pid alone proves nothing, as numbers are reused: the command line must still hold the words it had. If the list
// cannot be written, or read, the only loss is that the leftovers of a killed run are not found.
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { commandLine, isAlive, stopStray } from '@whereabouts/infra/local/server-process';
import {
  BrokenStateError,
  isRecord,
  readStateJson,
  writeStateFile,
} from '@whereabouts/infra/local/state-file';
import { type BestEffort, bestEffort } from './best-effort.js';

export interface OwnProcess {
  pid: number;
  /** Part of its command line, such as the folder of its data. */
  marker: string;
  name: string;
  signal: NodeJS.Signals;
}

const STRAY_DEADLINE_MS = 10_000;

const isList = (value: unknown): value is OwnProcess[] =>
  Array.isArray(value) &&
  value.every(
    (one) =>
      isRecord(one) && Number.isInteger(one.pid) && typeof one.marker === 'string' && one.marker !== '',
  );

const runs = ({ pid, marker }: OwnProcess): boolean =>
  isAlive(pid) && commandLine(pid)?.includes(marker) === true;

export class OwnProcesses {
  readonly #file: string;
  readonly #attempt: BestEffort;
  #list: OwnProcess[] = [];

  constructor(home: string, say: (text: string) => void = () => {}) {
    this.#file = join(home, 'processes.json');
    this.#attempt = bestEffort(say);
  }

  add(process: OwnProcess): void {
    if (this.#list.some(({ pid, marker }) => pid === process.pid && marker === process.marker)) return;
    this.#list.push(process);
    this.#write();
  }

  remove(pid: number): void {
    this.#list = this.#list.filter((process) => process.pid !== pid);
    this.#write();
  }

  /** Of this run, what is still there: processes that somebody else has started again. All at once. */
  async stopRest(): Promise<void> {
    const rest = this.#list.filter(runs);
    await Promise.all(rest.map(({ pid, signal }) => stopStray(pid, signal, STRAY_DEADLINE_MS)));
  }

  /** Nothing runs any more. */
  clear(): void {
    this.#list = [];
    rmSync(this.#file, { force: true });
  }

  /** Leftovers of an earlier run; entries of processes that have ended are dropped. */
  strays(): OwnProcess[] {
    try {
      return (readStateJson(this.#file, isList) ?? []).filter(runs);
    } catch (error) {
      if (error instanceof BrokenStateError) return [];
      throw error;
    }
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
    this.#attempt('The list of processes', () => writeStateFile(this.#file, JSON.stringify(this.#list)));
  }
}

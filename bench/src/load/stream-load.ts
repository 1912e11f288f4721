// Many streams from several processes.
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { StreamReport, StreamTask } from './stream-worker.js';

const WORKER = fileURLToPath(new URL('./stream-worker.js', import.meta.url));
const POLL_MS = 200;

export class StreamLoad {
  readonly #workers: ChildProcess[] = [];
  readonly #streams: number;

  /** `task.places` are divided among them; each process has a distinct loopback address. */
  constructor(task: Omit<StreamTask, 'localAddress'>, processes: number) {
    this.#streams = task.places.length;
    for (let i = 0; i < processes; i++) {
      const worker = fork(WORKER, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
      const places = task.places.filter((_, index) => index % processes === i);
      worker.send({ ...task, places, localAddress: `127.0.0.${i + 2}` });
      this.#workers.push(worker);
    }
  }

  async opened(deadlineMs: number): Promise<void> {
    const endMs = Date.now() + deadlineMs;
    for (;;) {
      const { open, failed } = await this.report();
      if (failed > 0) throw new Error(`${failed} streams ended or were refused`);
      if (open === this.#streams) return;
      if (Date.now() > endMs) throw new Error(`${open} of ${this.#streams} streams are open`);
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
  }

  /** Delays since the last one. */
  async report(): Promise<StreamReport> {
    const sum: StreamReport = { open: 0, failed: 0, bytes: 0, delaysMs: [] };
    for (const worker of this.#workers) {
      const answer = once(worker, 'message');
      worker.send('report');
      const [{ open, failed, bytes, delaysMs }] = (await answer) as [StreamReport];
      sum.open += open;
      sum.failed += failed;
      sum.bytes += bytes;
      sum.delaysMs.push(...delaysMs);
    }
    return sum;
  }

  async stop(): Promise<void> {
    for (const worker of this.#workers) {
      const exited = once(worker, 'exit');
      worker.disconnect();
      await exited;
    }
  }
}

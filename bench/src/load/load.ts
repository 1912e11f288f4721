// Many drivers from several processes.

import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { Latencies } from './latencies.js';
import type { LoadTotals } from './load-driver.js';
import type { AckedReports, WorkerReport, WorkerTask } from './load-worker.js';

const WORKER = fileURLToPath(new URL('./load-worker.js', import.meta.url));
const POLL_MS = 200;

export interface LoadSnapshot {
  totals: LoadTotals;
  latencies: Latencies;
}

export class Load {
  readonly #workers: ChildProcess[] = [];
  readonly #drivers: number;

  /**
   * `task.drivers` are divided among them; each process has a distinct loopback address, 127.0.0.`firstAddress` and on.
   */
  constructor(task: Omit<WorkerTask, 'localAddress'>, processes: number, firstAddress = 2) {
    this.#drivers = task.drivers.length;
    for (let i = 0; i < processes; i++) {
      const worker = fork(WORKER, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
      const drivers = task.drivers.filter((_, index) => index % processes === i);
      worker.send({ ...task, drivers, localAddress: `127.0.0.${i + firstAddress}` });
      this.#workers.push(worker);
    }
  }

  async connected(deadlineMs: number): Promise<void> {
    const endMs = Date.now() + deadlineMs;
    for (;;) {
      const { totals } = await this.snapshot();
      if (totals.open === this.#drivers) return;
      if (Date.now() > endMs) throw new Error(`${totals.open} of ${this.#drivers} drivers are connected`);
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
  }

  async snapshot(): Promise<LoadSnapshot> {
    const latencies = new Latencies();
    const totals: LoadTotals = { open: 0, closed: 0, sent: 0, acks: 0, nacks: 0 };
    const reports = await Promise.all(this.#workers.map((worker) => ask<WorkerReport>(worker, 'report')));
    for (const report of reports) {
      latencies.merge(report.latencies);
      for (const key of Object.keys(totals) as (keyof LoadTotals)[]) totals[key] += report.totals[key];
    }
    return { totals, latencies };
  }

  get pids(): number[] {
    return this.#workers.map(({ pid }) => pid as number);
  }

  async acked(): Promise<AckedReports> {
    const all = await Promise.all(this.#workers.map((worker) => ask<AckedReports>(worker, 'acked')));
    return Object.assign({}, ...all);
  }

  clearLatencies(): void {
    for (const worker of this.#workers) worker.send('clear');
  }

  async stop(): Promise<void> {
    await Promise.all(
      this.#workers.map(async (worker) => {
        if (worker.exitCode !== null) return;
        worker.disconnect();
        await once(worker, 'exit');
      }),
    );
  }
}

async function ask<Answer>(worker: ChildProcess, question: 'report' | 'acked'): Promise<Answer> {
  worker.send(question);
  const [answer] = await once(worker, 'message');
  return answer as Answer;
}

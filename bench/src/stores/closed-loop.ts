// A loop that keeps a fixed number of calls in flight, the CPU of the servers and of this process, and the duration of
// a call. The amount of work follows from the speed: costs for each call can be compared, loads cannot.

import { cpuS } from '../process-cpu.js';

export interface LoopOptions {
  /** The servers. */
  pids: readonly number[];
  concurrency: number;
  warmUpS: number;
  seconds: number;
  /** `number` counts the calls from 0. Returns how much of the work it did: updates, questions. */
  call(number: number): Promise<number>;
}

export interface LoopCost {
  done: number;
  /** CPU for each piece of work. */
  serverUs: number;
  clientUs: number;
  p50Ms: number;
  p99Ms: number;
}

export async function measureLoop(options: LoopOptions): Promise<LoopCost> {
  const { pids, concurrency, warmUpS, seconds, call } = options;
  const warmUp = await closedLoop(concurrency, warmUpS, call, 0);
  const serverBeforeS = cpuS(pids);
  const clientBefore = process.cpuUsage();
  const { done, latenciesMs } = await closedLoop(concurrency, seconds, call, warmUp.calls);
  const serverS = cpuS(pids) - serverBeforeS;
  const client = process.cpuUsage(clientBefore);
  return {
    done,
    serverUs: (1e6 * serverS) / done,
    clientUs: (client.user + client.system) / done,
    p50Ms: quantile(latenciesMs, 0.5),
    p99Ms: quantile(latenciesMs, 0.99),
  };
}

export interface Loop {
  calls: number;
  done: number;
  /** Ascending. */
  latenciesMs: number[];
}

/** Ends when the time is over and no call is in flight; the first failure ends it with that failure. */
export async function closedLoop(
  concurrency: number,
  seconds: number,
  call: LoopOptions['call'],
  firstNumber: number,
): Promise<Loop> {
  const loop: Loop = { calls: 0, done: 0, latenciesMs: [] };
  const endMs = performance.now() + seconds * 1000;
  let hasFailed = false;
  const caller = async () => {
    while (!hasFailed && performance.now() < endMs) {
      const startedMs = performance.now();
      try {
        const done = await call(firstNumber + loop.calls++);
        loop.done += done;
      } catch (error) {
        hasFailed = true;
        throw error;
      }
      loop.latenciesMs.push(performance.now() - startedMs);
    }
  };
  await Promise.all(Array.from({ length: concurrency }, caller));
  loop.latenciesMs.sort((a, b) => a - b);
  return loop;
}

/** The smallest value that at least this share of them does not exceed. */
export function quantile(ascending: readonly number[], share: number): number {
  return ascending[Math.max(0, Math.ceil(share * ascending.length) - 1)] ?? Number.NaN;
}

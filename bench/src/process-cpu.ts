// CPU time of processes, user and system, as the kernel counts it (Linux).

import { readdirSync, readFileSync } from 'node:fs';

/** USER_HZ: 100 on every Linux that Node runs on. */
const TICKS_PER_S = 100;

interface ProcessTimes {
  parent: number;
  ticks: number;
  /** Of children that have ended and were waited for. */
  reapedTicks: number;
}

/** The program's name may contain blanks and brackets; the fields follow it. */
export function parseStat(text: string): ProcessTimes {
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  const sum = (first: number) => Number(fields[first]) + Number(fields[first + 1]);
  return { parent: Number(fields[1]), ticks: sum(11), reapedTicks: sum(13) };
}

const timesOf = (pid: number | string) => parseStat(readFileSync(`/proc/${pid}/stat`, 'utf8'));

/** Including its ended children: Redis rewrites its append-only file in one. */
export function cpuS(pids: readonly number[]): number {
  const ticksOf = ({ ticks, reapedTicks }: ProcessTimes) => ticks + reapedTicks;
  return pids.reduce((sum, pid) => sum + ticksOf(timesOf(pid)), 0) / TICKS_PER_S;
}

/** Of a server that works in child processes, like Postgres; never less than before, even when one ends. */
export function treeCpuS(pid: number): number {
  const { ticks, reapedTicks } = timesOf(pid);
  let all = ticks + reapedTicks;
  for (const entry of readdirSync('/proc')) {
    if (!/^\d+$/.test(entry)) continue;
    try {
      const times = timesOf(entry);
      if (times.parent === pid) all += times.ticks;
    } catch {
      // It has ended meanwhile: its parent counts it the next time.
    }
  }
  return all / TICKS_PER_S;
}

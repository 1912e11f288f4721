// CPU time of processes, user and system, as the kernel counts it (Linux).

import { readFileSync } from 'node:fs';

/** USER_HZ: 100 on every Linux that Node runs on. */
const TICKS_PER_S = 100;

/** With that of their children that have ended: Redis rewrites its append-only file in one. */
export function cpuS(pids: readonly number[]): number {
  let ticks = 0;
  for (const pid of pids) {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    for (const field of fields.slice(11, 15)) ticks += Number(field);
  }
  return ticks / TICKS_PER_S;
}

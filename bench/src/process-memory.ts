// Resident memory of processes (Linux).

import { readFileSync } from 'node:fs';

export function residentBytes(pids: readonly number[]): number {
  return pids.reduce((sum, pid) => {
    const status = readFileSync(`/proc/${pid}/status`, 'utf8');
    return sum + 1024 * Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1]);
  }, 0);
}

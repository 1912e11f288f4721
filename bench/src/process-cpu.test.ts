import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { cpuS, parseStat, treeCpuS } from './process-cpu.js';

test('a name with blanks and brackets does not shift the fields', () => {
  const stat = '7 (a) b (c) S 3 7 7 0 -1 4194304 1 2 3 4 100 20 30 4 20 0 1 0 5 6';
  assert.deepEqual(parseStat(stat), { parent: 3, ticks: 120, reapedTicks: 34 });
});

test('what a child used stays counted when it has ended', () => {
  const before = treeCpuS(process.pid);
  // By its own CPU clock: on a busy machine it gets little CPU in any stretch of time.
  spawnSync(process.execPath, ['-e', 'while (process.cpuUsage().user < 300_000);']);
  assert.ok(treeCpuS(process.pid) - before >= 0.1);
  assert.ok(cpuS([process.pid]) <= treeCpuS(process.pid));
});

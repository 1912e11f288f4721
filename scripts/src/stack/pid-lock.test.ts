// Processes that want the same lock at the same moment, while a dead one seems to have it: one of them gets it.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';

const MARKER = 'lock-contender';
const LOCKS = 200;
const CONTENDERS = 3;
const NO_PID = '4194305'; // above the greatest that Linux gives
const CONTENDER = `
const [dir, startsAtMs] = [process.argv[2], Number(process.argv[3])];
const { takePidLock } = await import(${JSON.stringify(new URL('pid-lock.js', import.meta.url).href)});
const taken = [];
for (let lock = 0; lock < ${LOCKS}; lock++) {
  while (Date.now() < startsAtMs + 3 * lock) {}
  if (takePidLock(dir + '/' + lock, '${MARKER}').heldBy === null) taken.push(lock);
}
console.log(JSON.stringify(taken));
process.stdin.resume();
setTimeout(() => process.exit(), 1_000);
`;

test('a void lock goes to one of those who want it', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'whereabouts-lock-'));
  try {
    for (let lock = 0; lock < LOCKS; lock++) writeFileSync(join(dir, String(lock)), NO_PID);
    const args = ['--input-type=module', '-e', CONTENDER, MARKER, dir, String(Date.now() + 1_500)];
    const contenders = Array.from({ length: CONTENDERS }, () => promisify(execFile)(process.execPath, args));
    const taken = (await Promise.all(contenders)).flatMap(({ stdout }) => JSON.parse(stdout) as number[]);
    assert.deepEqual(
      taken.sort((a, b) => a - b),
      Array.from({ length: LOCKS }, (_, lock) => lock),
    );
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
});

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { isAlive } from '@whereabouts/infra/local/server-process';
import { OwnProcesses } from './own-processes.js';
import { takePidLock } from './pid-lock.js';

let dir: string;

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'whereabouts-own-'));
});

afterEach(() => rmSync(dir, { recursive: true, force: true }));

async function sleeper(): Promise<number> {
  const child = spawn('sleep', ['600'], { stdio: 'ignore' });
  await new Promise((resolve) => child.once('spawn', resolve));
  return child.pid as number;
}

test('what an earlier run left is stopped', async () => {
  const pid = await sleeper();
  new OwnProcesses(dir).add({ pid, marker: 'sleep 600', name: 'sleeper', signal: 'SIGTERM' });
  const said: string[] = [];
  await new OwnProcesses(dir).stopStrays((text) => said.push(text));
  assert.equal(isAlive(pid), false);
  assert.match(said.join(), /Stopping sleeper/);
  assert.deepEqual(new OwnProcesses(dir).strays(), []);
});

test("a pid that is somebody else's now is left alone", async () => {
  const pid = await sleeper();
  new OwnProcesses(dir).add({ pid, marker: '/redis-cluster', name: 'Redis', signal: 'SIGTERM' });
  await new OwnProcesses(dir).stopStrays(() => assert.fail('nothing is to be stopped'));
  assert.equal(isAlive(pid), true);
  process.kill(pid);
});

test('a lock of a process that is gone, or that is not what it should be, is void', () => {
  // The runner gives its children an absolute path, or one from where it stands.
  const marker = basename(process.argv[1] ?? '');
  const file = join(dir, 'lock');
  const mine = takePidLock(file, marker);
  assert.equal(mine.heldBy, null);
  assert.equal(takePidLock(file, marker).heldBy, process.pid);
  mine.release();
  const again = takePidLock(file, marker);
  assert.equal(again.heldBy, null);
  writeFileSync(file, String(2 ** 22 + 1));
  assert.equal(takePidLock(file, marker).heldBy, null);
  writeFileSync(file, String(process.pid));
  assert.equal(takePidLock(file, 'another-script.js').heldBy, null);
});

test('a list that a power cut left empty or cut short names nobody, and is written anew', async () => {
  for (const text of ['', '[{"pid":1', '{}', '[{"pid":1,"marker":""}]', '[null]']) {
    writeFileSync(join(dir, 'processes.json'), text);
    assert.deepEqual(new OwnProcesses(dir).strays(), [], text);
    await new OwnProcesses(dir).stopStrays(() => assert.fail('nothing is to be stopped'));
  }
});

test('a list that cannot be written is told once, and told when it can', () => {
  const said: string[] = [];
  const gone = join(dir, 'gone');
  const own = new OwnProcesses(gone, (text) => said.push(text));
  for (const pid of [1, 2]) own.add({ pid, marker: 'x', name: 'x', signal: 'SIGTERM' });
  assert.equal(said.length, 1);
  assert.match(said[0] ?? '', /list of processes could not be written: ENOENT/);
  mkdirSync(gone);
  own.remove(1);
  assert.equal(said.length, 2);
});

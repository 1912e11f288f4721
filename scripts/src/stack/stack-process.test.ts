import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { isAlive, waitFor } from '@whereabouts/infra/local/server-process';
import { OwnProcesses } from './own-processes.js';
import { type ChildSpec, StackProcess } from './stack-process.js';

const DEADLINE_MS = 20_000;

let dir: string;
let said: string[];

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'whereabouts-supervisor-'));
  said = [];
});

afterEach(() => rmSync(dir, { recursive: true, force: true }));

function supervise(source: string, more: Partial<ChildSpec> = {}): StackProcess {
  const script = join(dir, 'child.mjs');
  writeFileSync(script, source);
  const spec = { name: 'child', script, env: process.env, stopDeadlineMs: 60_000, ...more };
  const hooks = {
    logsDir: dir,
    own: new OwnProcesses(dir),
    say: (text: string) => void said.push(text),
  };
  return new StackProcess(spec, hooks);
}

const log = () => readFileSync(join(dir, 'child.log'), 'utf8');
const logged = (text: string) =>
  waitFor(`the log holds ${text}`, DEADLINE_MS, () => (log().includes(text) ? true : undefined));

const FOREVER = 'console.log("up", process.pid); setInterval(() => {}, 1000);';

test('a child that dies is started again, after it was up', async () => {
  const child = supervise(FOREVER);
  child.up();
  child.settle();
  await logged('up');
  const { pid } = child;
  child.kill('SIGKILL');
  await waitFor('another one runs', DEADLINE_MS, () =>
    child.pid !== 0 && child.pid !== pid ? true : undefined,
  );
  assert.match(said.join(), /child was ended by SIGKILL; starting it again/);
  const second = child.pid;
  await child.stop();
  assert.equal(isAlive(second), false);
});

test('a child that dies before the start is through stays down, and says how', async () => {
  const child = supervise('console.log("no settings"); process.exit(3);');
  child.up();
  await waitFor('it has ended', DEADLINE_MS, () => child.lastEnd || undefined);
  assert.equal(child.lastEnd, 'ended with status 3');
  assert.match(child.logTail(), /no settings/);
  assert.deepEqual(said, []);
});

test('stop lets it drain', async () => {
  const child = supervise(
    `process.on('SIGTERM', () => { console.log('drained'); process.exit(0); }); ${FOREVER}`,
  );
  child.up();
  child.settle();
  await logged('up');
  assert.equal(await child.stop(), true);
  assert.match(log(), /drained/);
  assert.deepEqual(said, []);
});

test('a child that does not drain in time is killed, and that is told', async () => {
  const child = supervise(`process.on('SIGTERM', () => {}); ${FOREVER}`, { stopDeadlineMs: 300 });
  child.up();
  child.settle();
  await logged('up');
  assert.equal(await child.stop(), false);
});

test('a child that may end has finished with status 0', async () => {
  const child = supervise('setTimeout(() => {}, 200);', { mayEnd: true });
  child.up();
  child.settle();
  await waitFor('it has finished', DEADLINE_MS, () => (said.length > 0 ? true : undefined));
  assert.deepEqual(said, ['child has finished.']);
  assert.equal(await child.stop(), true);
});

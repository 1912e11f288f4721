import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import {
  findStack,
  isStackRunning,
  removeStack,
  runningStack,
  type Stack,
  writeStack,
} from './stack-file.js';

let dir: string;

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'whereabouts-stack-'));
});

afterEach(() => rmSync(dir, { recursive: true, force: true }));

const stackOf = (pid: number): Stack => ({
  ready: false,
  pid,
  ingest: { url: 'ws://127.0.0.1:8080', ops: 'http://127.0.0.1:9080', pids: [1] },
  query: { url: 'http://127.0.0.1:8081', ops: 'http://127.0.0.1:9081', pid: 2 },
  flusher: { ops: 'http://127.0.0.1:9082', pid: 3 },
  promoter: null,
  observe: null,
  redis: [{ host: '127.0.0.1', port: 7100, pid: 4, role: 'master', state: 'up' }],
  postgres: { url: 'postgres://whereabouts_flusher:x@127.0.0.1:5433/whereabouts', pid: 5 },
  auth: { secretFile: join(dir, 'jwt-secret'), issuer: 'whereabouts', audience: { ingest: 'i', query: 'q' } },
  partitionMapFile: join(dir, 'partition-map.json'),
  control: join(dir, 'control.sock'),
  redisReader: { username: 'reader', password: 'x' },
});

test('what was written is read, for this user alone, and nothing half-written stays', () => {
  writeStack(stackOf(process.pid), dir);
  writeStack({ ...stackOf(process.pid), ready: true }, dir);
  assert.deepEqual(runningStack(dir), { ...stackOf(process.pid), ready: true });
  assert.equal(statSync(join(dir, 'stack.json')).mode & 0o777, 0o600);
  assert.deepEqual(readdirSync(dir), ['stack.json']);
});

test('without a stack one is told how to start it', () => {
  assert.equal(findStack(dir), null);
  assert.throws(() => runningStack(dir), /npm start/);
});

test('a file of a run that was killed counts for nothing', () => {
  writeStack(stackOf(2 ** 22 + 1), dir); // above every pid that Linux gives
  assert.equal(findStack(dir), null);
});

test('removed is removed, and twice does no harm', () => {
  writeStack(stackOf(process.pid), dir);
  removeStack(dir);
  removeStack(dir);
  assert.equal(findStack(dir), null);
});

test('a file that a power cut left empty or cut short counts for nothing', () => {
  for (const text of ['', '{"ready":true,"pid":', 'null', '[]', '{"pid":"1"}']) {
    writeFileSync(join(dir, 'stack.json'), text);
    assert.equal(findStack(dir), null, text);
    assert.equal(isStackRunning(dir), false);
  }
});

import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { openControl, type ServerRow, WishError, wish } from './control.js';

const ROW: ServerRow = { name: '7100', address: 'a:7100', role: 'master', pid: 1, state: 'up' };

async function withControl(home: string, use: (path: string, started: string[]) => Promise<void>) {
  mkdirSync(home, { recursive: true });
  const started: string[] = [];
  const control = await openControl(home, {
    list: async () => [ROW],
    start: async (name) => {
      if (name === '1') throw new WishError(409, 'it runs');
      if (name === '2') throw new Error('no disk');
      started.push(name);
    },
  });
  try {
    await use(control.path, started);
  } finally {
    control.close();
  }
  assert.equal(existsSync(control.path), false);
}

test('wishes are heard, and what cannot be done is told', async (t) => {
  const home = mkdtempSync(join(tmpdir(), 'whereabouts-wish-'));
  t.after(() => rmSync(home, { recursive: true, force: true }));
  writeFileSync(join(home, 'control.sock'), ''); // of a run that was killed
  await withControl(home, async (path, started) => {
    assert.deepEqual(await wish(path, 'GET', '/servers'), [ROW]);
    assert.deepEqual(await wish(path, 'POST', '/servers/7100/start'), [ROW]);
    assert.deepEqual(started, ['7100']);
    await assert.rejects(wish(path, 'POST', '/servers/1/start'), /it runs/);
    await assert.rejects(wish(path, 'POST', '/servers/2/start'), /no disk/);
    await assert.rejects(wish(path, 'GET', '/'), /there is no GET/);
    assert.deepEqual(started, ['7100']);
  });
  await assert.rejects(wish(join(home, 'control.sock'), 'GET', '/servers'), /does not answer/);
});

test('in a folder whose path is too long for a socket there is one elsewhere, for us alone', async (t) => {
  const parent = mkdtempSync(join(tmpdir(), 'whereabouts-wish-'));
  t.after(() => rmSync(parent, { recursive: true, force: true }));
  await withControl(join(parent, 'x'.repeat(100)), async (path) => {
    assert.deepEqual(await wish(path, 'GET', '/servers'), [ROW]);
    assert.equal(statSync(dirname(path)).mode & 0o777, 0o700);
  });
});

// The contract again on servers whose locale collates: Lua compares strings by it, and ours must not depend on it.

import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const LOCALE = 'en_US.UTF-8';

test(`the contract of the functions under LC_ALL=${LOCALE}`, (t) => {
  const installed = execFileSync('locale', ['-a'], { encoding: 'utf8' });
  if (!/^en_US\.utf-?8$/im.test(installed)) {
    t.skip(`this machine has no locale ${LOCALE}`);
    return;
  }
  const contract = fileURLToPath(new URL('./log-store.test.js', import.meta.url));
  const { NODE_TEST_CONTEXT: _, ...env } = process.env;
  const run = spawnSync(process.execPath, ['--test', contract], {
    env: { ...env, TEST_REDIS_LOCALE: LOCALE },
    encoding: 'utf8',
  });
  assert.equal(run.status, 0, run.stdout);
});

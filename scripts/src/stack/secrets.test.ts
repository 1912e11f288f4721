import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { stackSecrets } from './secrets.js';

let dir: string;

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'whereabouts-secrets-'));
});

afterEach(() => rmSync(dir, { recursive: true, force: true }));

const jwtSecret = () => readFileSync(join(dir, 'jwt-secret'), 'utf8');

test('secrets are made once, and kept', () => {
  const made = stackSecrets(dir, assert.fail);
  const secret = jwtSecret();
  assert.ok(secret.length >= 32);
  assert.deepEqual(stackSecrets(dir, assert.fail), made);
  assert.equal(jwtSecret(), secret);
  for (const name of ['jwt-secret', 'passwords.json']) {
    assert.equal(statSync(join(dir, name)).mode & 0o777, 0o600);
  }
});

test('those that a power cut left empty or cut short are made anew, and that is told', () => {
  const made = stackSecrets(dir);
  for (const text of ['', '{"redis_ingest":"ab', '{}', 'null', JSON.stringify({ ...made.redis })]) {
    const said: string[] = [];
    writeFileSync(join(dir, 'passwords.json'), text);
    writeFileSync(join(dir, 'jwt-secret'), text.slice(0, 10));
    const anew = stackSecrets(dir, (line) => said.push(line));
    assert.equal(said.length, 2, text);
    assert.ok(jwtSecret().length >= 32);
    assert.ok([...Object.values(anew.redis), ...Object.values(anew.postgres)].every((p) => p.length >= 32));
  }
});

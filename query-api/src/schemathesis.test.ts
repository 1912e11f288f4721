// Schemathesis makes requests from /openapi.json, valid and invalid ones, and checks every answer against it:
// documented statuses, types, headers and bodies, valid data accepted, invalid data refused, a token required, other
// methods refused.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import { pythonWith, skipWithout } from '@whereabouts/infra/local/testing/python';
import { evenPartitionMap } from '@whereabouts/infra/partition-map';
import { type Running, reported, startRunning, whenComplete } from './fixtures/running-service.js';

/** As many as the suite has time for; `SCHEMATHESIS_EXAMPLES` asks for more, for each operation. */
const EXAMPLES = process.env.SCHEMATHESIS_EXAMPLES ?? '10';
const DEADLINE_MS = 600_000;
/** A stream has no end: only its snapshot is checked. */
const CONFIGURATION = 'max-stream-events = 1\n';

const python = await pythonWith('schemathesis');
const skip = skipWithout(python, 'schemathesis', '/openapi.json IS, BY SCHEMATHESIS,');

let running: Running;
let dir: string;

before(async () => {
  if (skip) return;
  dir = await mkdtemp(join(tmpdir(), 'whereabouts-schemathesis-'));
  await writeFile(join(dir, 'schemathesis.toml'), CONFIGURATION);
  // This test is not about the rate or the share.
  const generous = { MAX_QUESTIONS_PER_S: '1000000', MAX_QUESTIONS_IN_FLIGHT_PER_SUBJECT: '400' };
  running = await startRunning(evenPartitionMap(4), { FRESHNESS_MS: '600000', ...generous });
  await running.record(
    reported('driver-1', { lat: 52.2298, lon: 21.0123, status: 'available', services: 5 }),
  );
  await whenComplete(running);
});
after(async () => {
  await running?.stop();
  if (dir) await rm(dir, { recursive: true, force: true });
});

test('schemathesis: finds nothing', { skip }, async () => {
  const token = ['--header', `Authorization: Bearer ${running.token}`];
  // One worker: Python 3.11 fails when two read its own source at once.
  const many = ['--max-examples', EXAMPLES, '--continue-on-failure', '--workers', '1'];
  const phases = ['--phases', 'examples,coverage,fuzzing'];
  const command = ['run', `${running.url}/openapi.json`, ...token, ...many, ...phases];
  const options = { cwd: dir, timeout: DEADLINE_MS, env: { ...process.env, NO_COLOR: '1' } };
  const ran = promisify(execFile)(python as string, ['-m', 'schemathesis.cli', ...command], options);
  const { stdout } = await ran.catch((error: { stdout: string }) => assert.fail(error.stdout));
  const operations = Object.values(running.check.document.paths).flatMap(Object.keys).length;
  assert.match(stdout, new RegExp(`Tested: ${operations}\\n`));
  assert.match(stdout, /No issues found/);
});

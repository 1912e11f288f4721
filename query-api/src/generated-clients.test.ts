// Clients that generators make from /openapi.json, for every operation, against the running service: openapi-typescript
// with openapi-fetch, and openapi-python-client if it is installed.

import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { pythonWith, skipWithout } from '@whereabouts/infra/local/testing/python';
import { evenPartitionMap } from '@whereabouts/infra/partition-map';
import openapiTypescript, { astToString } from 'openapi-typescript';
import {
  type ApiDocument,
  type Call,
  callsOf,
  PYTHON_PROGRAM,
  typescriptProgram,
} from './fixtures/generated-client.js';
import { type Running, reported, startRunning, whenComplete } from './fixtures/running-service.js';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const DEADLINE_MS = 120_000;
const run = promisify(execFile);
const python = await pythonWith('openapi_python_client');
const withoutPython = skipWithout(python, 'openapi-python-client', 'THE PYTHON CLIENT IS');

let running: Running;
let document: ApiDocument;
let calls: Call[];
let dir: string;

before(async () => {
  dir = await mkdtemp(join(tmpdir(), 'whereabouts-clients-'));
  running = await startRunning(evenPartitionMap(4), { FRESHNESS_MS: '600000' });
  // The driver of the examples, with the kinds of ride that the examples ask for.
  await running.record(
    reported('driver-1', { lat: 52.2298, lon: 21.0123, status: 'available', services: 5 }),
  );
  await whenComplete(running);
  document = running.check.document as unknown as ApiDocument;
  calls = callsOf(document);
});
after(async () => {
  await running?.stop();
  await rm(dir, { recursive: true, force: true });
});

const environment = () => ({ ...process.env, URL_OF_API: running.url, TOKEN: running.token });
const allAnswered = () => Object.fromEntries(calls.map(({ id }) => [id, 200]));

test('generated clients: TypeScript, of every operation, as the types say', async () => {
  const types = await openapiTypescript(JSON.stringify(document));
  await writeFile(join(dir, 'api.d.ts'), astToString(types));
  await writeFile(join(dir, 'program.ts'), typescriptProgram(calls));
  await writeFile(join(dir, 'package.json'), '{"type":"module"}');
  await symlink(join(ROOT, 'node_modules'), join(dir, 'node_modules'));
  const options = { strict: true, target: 'es2023', module: 'nodenext', types: ['node'] };
  await writeFile(join(dir, 'tsconfig.json'), JSON.stringify({ compilerOptions: options }));
  const compiler = join(ROOT, 'node_modules/.bin/tsc');
  const compiled = await run(compiler, ['-p', dir], { timeout: DEADLINE_MS }).catch((error) => error);
  assert.equal(compiled.stdout, '');
  const { stdout } = await run(process.execPath, [join(dir, 'program.js')], {
    env: environment(),
    timeout: DEADLINE_MS,
  });
  const { statuses, nearest, complaint } = JSON.parse(stdout);
  assert.deepEqual(statuses, allAnswered());
  assert.deepEqual([nearest, complaint], ['driver-1', undefined]);
});

test('generated clients: Python, of every operation', { skip: withoutPython }, async () => {
  const documentFile = join(dir, 'openapi.json');
  await writeFile(documentFile, JSON.stringify(document));
  const target = ['--path', documentFile, '--output-path', join(dir, 'api'), '--meta', 'none'];
  const config = join(dir, 'config.yml');
  await writeFile(config, 'post_hooks: []\n');
  const generate = ['-m', 'openapi_python_client', 'generate', ...target, '--config', config];
  const generated = await run(python as string, [...generate, '--fail-on-warning'], { timeout: DEADLINE_MS });
  assert.doesNotMatch(generated.stdout + generated.stderr, /warning/i);
  const { statuses, kinds, nearest, complaint } = JSON.parse(await runPython(calls));
  assert.deepEqual(statuses, allAnswered());
  assert.deepEqual(
    [kinds.nearby, kinds.nearbyBatch, kinds.driver],
    ['NearbyAnswer', 'BatchAnswer', 'DriverAnswer'],
  );
  assert.deepEqual([nearest, complaint], ['driver-1', 'lon']);
});

/** Returns what the program prints. The program reads the calls from its standard input. */
async function runPython(input: unknown): Promise<string> {
  const child = spawn(python as string, ['-c', PYTHON_PROGRAM], {
    env: { ...environment(), PYTHONPATH: dirname(join(dir, 'api')) },
    timeout: DEADLINE_MS,
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  child.stdin.end(JSON.stringify(input));
  const chunks: Buffer[] = [];
  for await (const chunk of child.stdout) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

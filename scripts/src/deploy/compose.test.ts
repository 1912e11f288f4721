// compose.yaml and the Dockerfile as an operator gets them: each service runs here with its command and environment
// from there, on a cluster and a database that the jobs of compose.yaml have made.
import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { waitFor } from '@whereabouts/infra/local/server-process';
import { root } from '../home.js';
import { readComposeFile, startOrder } from './compose-file.js';
import { ComposeRun } from './compose-run.js';
import { lastOf, parseCopy, parseDockerfile, parseExec } from './dockerfile.js';

const DEPLOY = join(root, 'infra', 'deploy');
const DEADLINE_MS = 30_000;
const stages = parseDockerfile(readFileSync(join(DEPLOY, 'docker', 'Dockerfile'), 'utf8'));
const dir = mkdtempSync(join(tmpdir(), 'whereabouts-compose-'));

let run: ComposeRun;
let stopped: Record<string, number | string | null> | null = null;

before(() => {
  run = new ComposeRun({
    deployDir: DEPLOY,
    stages,
    folderOf: () => root,
    dir,
    values: { DRIVERS: '50' },
    say: () => {},
  });
});
after(async () => {
  if (stopped === null) await run.stop();
  rmSync(dir, { recursive: true, force: true });
});

test('every image runs something that is there, as somebody who is not root, and drains on SIGTERM', () => {
  const targets = new Set(
    Object.values(readComposeFile(join(DEPLOY, 'compose.yaml')).services).map(({ build }) => build?.target),
  );
  targets.delete(undefined);
  assert.deepEqual([...targets].sort(), [
    'flusher',
    'ingest',
    'migrations',
    'promoter',
    'query-api',
    'redis-setup',
    'simulate',
  ]);
  for (const target of targets as Set<string>) {
    const [node, script] = parseExec(lastOf(stages, target, 'CMD') as string);
    assert.equal(node, 'node');
    assert.ok(existsSync(join(root, script as string)), `${target} runs ${script}`);
    assert.equal(lastOf(stages, target, 'USER'), '1000:1000');
    assert.equal(lastOf(stages, target, 'STOPSIGNAL'), 'SIGTERM');
  }
});

test('every path that the Dockerfile takes from the clone is there, and every workspace among them', () => {
  const copied = stages
    .flatMap(({ instructions }) => instructions)
    .filter(({ keyword }) => keyword === 'COPY')
    .map(({ text }) => parseCopy(text))
    .filter(({ from }) => from === null)
    .flatMap(({ sources }) => sources);
  for (const source of copied) assert.ok(existsSync(join(root, source)), source);
  const { workspaces } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
    workspaces: string[];
  };
  for (const workspace of workspaces) assert.ok(copied.includes(`${workspace}/package.json`), workspace);
});

test('what compose.yaml starts works together: a driver is found, and is in the archive', {
  timeout: 180_000,
}, async () => {
  await run.start(['simulation']);
  const token = (await run.once('token', ['--scope', 'drivers:read'])).trim();
  const ask = async (path: string) => {
    const url = `http://127.0.0.1:${run.portOf('query-api:8081')}${path}`;
    const answer = await fetch(url, { headers: { authorization: `Bearer ${token}` } });
    return (await answer.json()) as { persisted?: boolean; complete?: boolean };
  };
  await waitFor('a driver is in the archive', DEADLINE_MS, async () => {
    const { persisted, complete } = await ask('/v1/drivers/sim-1-0');
    return (persisted && complete) || undefined;
  });
  for (const place of ['ingest:9080', 'query-api:9081', 'flusher:9082', 'promoter:9084']) {
    await waitFor(`${place} is ready, and says so`, DEADLINE_MS, async () => {
      const { status } = await fetch(`http://127.0.0.1:${run.portOf(place)}/readyz`);
      return status === 200 || undefined;
    });
  }
});

test('they stop in order, each having finished its work', { timeout: 120_000 }, async () => {
  stopped = await run.stop();
  assert.deepEqual(stopped, { simulate: 0, promoter: 0, 'query-api': 0, ingest: 0, flusher: 0 });
});

test('compose.yaml starts nothing before what it depends on', () => {
  const order = startOrder(readComposeFile(join(DEPLOY, 'compose.yaml')), []);
  const before = (first: string, then: string) =>
    assert.ok(order.indexOf(first) < order.indexOf(then), `${first} before ${then}`);
  before('redis-files', 'redis-0');
  before('redis-5', 'redis-cluster');
  before('redis-cluster', 'flusher');
  before('migrations', 'flusher');
  before('flusher', 'ingest');
});

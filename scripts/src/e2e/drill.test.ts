// `npm run drill` as a person has it, on a stack that runs: what it says and writes, that the stack is as it was
// afterwards, and that nothing of it outlives the stack. How fast a busy machine is, is for the drills themselves.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { after, before, test } from 'node:test';
import { isAlive, waitFor } from '@whereabouts/infra/dev/server-process';
import { clusterNodes, pidOf, whatIsBroken } from '../drill/cluster-view.js';
import type { NodePreview } from '../drill/preview.js';
import type { DrillReport } from '../drill/report.js';
import { CITIES } from '../fleet/cities.js';
import { seededRandom } from '../fleet/random.js';
import { root } from '../home.js';
import { mapOf } from '../testing/places.js';
import { StackUnderTest } from '../testing/stack-under-test.js';

let stack: StackUnderTest;

interface Ended<T> {
  status: number;
  /** Its last line. */
  last: T;
  error: string;
}

before(async () => {
  stack = await StackUnderTest.start(mapOf(CITIES, 0.1, seededRandom(3)), { LOG_LEVEL: 'info' });
});
after(() => stack?.stop());

async function drill<T>(...args: string[]): Promise<Ended<T>> {
  return drillWith({}, ...args);
}

async function drillWith<T>(env: NodeJS.ProcessEnv, ...args: string[]): Promise<Ended<T>> {
  const child = spawn(process.execPath, [join(root, 'scripts', 'dist', 'drill.js'), ...args, '--json'], {
    env: { ...process.env, WHEREABOUTS_HOME: stack.home, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const ended = new Promise<number>((resolve) => child.once('close', (code) => resolve(code ?? -1)));
  const [out, error] = await Promise.all([text(child.stdout), text(child.stderr)]);
  const last = out.trim().split('\n').at(-1) ?? '';
  return { status: await ended, last: (last === '' ? null : JSON.parse(last)) as T, error };
}

test('preview: what each node carries', async () => {
  const { status, last } = await drill<{ nodes: NodePreview[] }>('preview');
  assert.equal(status, 0);
  assert.equal(last.nodes.length, 3);
  assert.equal(
    last.nodes.reduce((sum, { partitions }) => sum + partitions, 0),
    stack.map.partitions,
  );
  assert.deepEqual(
    last.nodes.flatMap(({ warnings }) => warnings),
    [],
  );
});

test('a drill that does not exist, and a region that is no place', async () => {
  assert.equal((await drill('kil')).status, 2);
  const { status, error } = await drill('kill', '--region', '95,200');
  assert.equal(status, 2);
  assert.match(error, /no place/);
});

test('isolate is skipped aloud where no network namespace can be had, and that is no failure', async () => {
  const { status, last } = await drillWith<{ event: string; drill: string; why: string }>(
    { PATH: '/nowhere' },
    'isolate',
  );
  assert.deepEqual([status, last.event, last.drill], [0, 'skipped', 'isolate']);
  assert.match(last.why, /^it needs (Linux|(root and )?ip of iproute2 on the PATH)$/);
});

test('--no-promoter is refused for a stack that runs', async () => {
  const { status, error } = await drill('kill', '--no-promoter');
  assert.equal(status, 2);
  assert.match(error, /that the drill starts itself/);
});

test('kill: one region, judged, written down, and whole again', async () => {
  const place = CITIES[0] as { lat: number; lon: number };
  const { status, last, error } = await drill<{ files: { json: string; page: string }; report: DrillReport }>(
    'kill',
    '--region',
    `${place.lat},${place.lon}`,
  );
  const { report, files } = last;
  assert.equal(status, report.passed ? 0 : 1, error);
  assert.deepEqual(JSON.parse(readFileSync(files.json, 'utf8')), report);
  assert.ok(existsSync(files.page));
  const [hit, ...more] = report.regions.filter(({ affected }) => affected);
  assert.equal(more.length, 0);
  assert.ok(hit && hit.darkMs !== null && hit.healedMs !== null, 'it came back');
  // What does not depend on the machine's speed.
  const timely = /latency|time dark|time to heal/;
  const broken = report.promises.filter(({ promise, passed }) => !passed && !timely.test(promise));
  assert.deepEqual(broken, []);
  assert.equal(await whatIsBroken(stack.now, 3), null);
});

test('what a drill has started again ends with the stack', async () => {
  const nodes = await clusterNodes(stack.now);
  const pids = await Promise.all(nodes.map(({ address }) => pidOf(stack.now, address)));
  const started = stack.now.redis.map(({ pid }) => pid);
  assert.equal(pids.filter((pid) => !started.includes(pid)).length, 1, 'one was started again');
  await stack.stop(async () => {
    await waitFor('all of Redis has stopped', 20_000, () => !pids.some(isAlive) || undefined);
  });
});

// `npm start` as a user runs it: up, the printed commands, Ctrl-C, again with the data, killed and restarted.
import assert from 'node:assert/strict';
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import { isPortFree } from '@whereabouts/infra/local/ports';
import { isAlive, waitFor } from '@whereabouts/infra/local/server-process';
import { readableByNobody } from '@whereabouts/infra/local/testing/other-user';
import { root } from './home.js';
import { findStack, type Stack } from './stack-file.js';

const run = promisify(execFile);
const START_DEADLINE_MS = 180_000;
const STOP_DEADLINE_MS = 90_000;

interface Line {
  event: string;
  text?: string;
  stack?: Stack;
}

interface Started {
  child: ChildProcess;
  lines: Line[];
  ended: Promise<number | null>;
}

let home: string;
let env: NodeJS.ProcessEnv;
const started: Started[] = [];

before(() => {
  const parent = mkdtempSync(join(tmpdir(), 'whereabouts-start-'));
  chmodSync(parent, 0o755); // a path like that of a usual clone
  home = join(parent, 'home');
  // As an earlier version left it.
  mkdirSync(join(home, 'logs'), { recursive: true, mode: 0o755 });
  writeFileSync(join(home, 'logs', 'npm-ci.log'), 'earlier', { mode: 0o644 });
  env = { ...process.env, WHEREABOUTS_HOME: home };
});

after(async () => {
  for (const { child, ended } of started) {
    if (child.exitCode === null && child.signalCode === null) child.kill('SIGTERM');
    await ended;
  }
  await run('npm', ['run', '-s', 'clean'], { cwd: root, env });
  rmSync(join(home, '..'), { recursive: true, force: true });
});

function start(...args: string[]): Started {
  const script = join(root, 'scripts', 'dist', 'start.js');
  const child = spawn(process.execPath, [script, '--json', ...args], {
    cwd: root,
    env,
    // When this test dies the channel closes, and the stack stops by itself.
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
  });
  const lines: Line[] = [];
  let rest = '';
  child.stdout?.setEncoding('utf8').on('data', (chunk: string) => {
    const parts = (rest + chunk).split('\n');
    rest = parts.pop() ?? '';
    for (const part of parts) lines.push(JSON.parse(part) as Line);
  });
  child.stderr?.setEncoding('utf8').on('data', (text: string) => lines.push({ event: 'stderr', text }));
  const one = { child, lines, ended: new Promise<number | null>((resolve) => child.once('exit', resolve)) };
  started.push(one);
  return one;
}

async function ready({ child, lines }: Started): Promise<{ stack: Stack; text: string }> {
  await waitFor('the stack is ready', START_DEADLINE_MS, () =>
    child.exitCode !== null || lines.some(({ event }) => event === 'ready') ? true : undefined,
  );
  const line = lines.find(({ event }) => event === 'ready');
  assert.ok(line?.stack && line.text, JSON.stringify(lines, null, 1));
  return { stack: line.stack, text: line.text };
}

const pidsOf = (stack: Stack) =>
  [
    stack.pid,
    ...stack.ingest.pids,
    stack.query.pid,
    stack.flusher.pid,
    ...stack.redis.map(({ pid }) => pid),
    stack.postgres.pid,
  ].filter((pid): pid is number => pid !== null);

const portsOf = (stack: Stack) => [
  ...[stack.ingest.url, stack.ingest.ops, stack.query.url, stack.query.ops, stack.flusher.ops].map((url) =>
    Number(new URL(url).port),
  ),
  ...stack.redis.flatMap(({ port }) => [port, port + 10_000]),
  Number(new URL(stack.postgres.url).port),
];

async function nothingIsLeft(stack: Stack): Promise<void> {
  assert.deepEqual(pidsOf(stack).filter(isAlive), []);
  for (const port of portsOf(stack)) assert.equal(await isPortFree(port), true, `port ${port}`);
  assert.equal(existsSync(join(home, 'stack.json')), false);
}

/** No other user can read passwords, positions and logs. */
function assertPrivate(): void {
  assert.equal(statSync(home).mode & 0o777, 0o700);
  assert.equal(statSync(join(home, 'logs', 'npm-ci.log')).mode & 0o777, 0o600);
  if (process.getuid?.() === 0) assert.deepEqual(readableByNobody(home), []);
}

/** A trace in the running stack: skipped rows are reported; a trace without usable rows is an error. */
async function replays(): Promise<void> {
  const file = join(home, 'trace.csv');
  const replay = (...options: string[]) =>
    run('npm', ['run', '-s', 'replay', '--', file, ...options], { cwd: root, env });
  const header = '\uFEFFvehicle_id;unix_ms;lat;lon\r\n';
  writeFileSync(file, `${header}"bus-1";1700000000000;"52,23";21\r\nbus-2;1700000000;52,23;21\r\n`);
  assert.match((await replay()).stdout, /rows read +1\n(.*\n)*1 row is skipped:\n {2}line 3: .*seconds/);
  const ended = JSON.parse((await replay('--json')).stdout.trim().split('\n').at(-1) ?? '');
  assert.deepEqual([ended.acknowledged, ended.malformed, ended.passed_over[0].line], [1, 1, 3]);
  writeFileSync(file, `${header}bus-2;1700000000;52,23;21\r\n`);
  await assert.rejects(replay(), ({ code, stderr }) => code === 2 && /line 2: .*seconds/.test(stderr));
}

async function stopped(one: Started, deadlineMs = STOP_DEADLINE_MS): Promise<number | null> {
  await waitFor('the stack has stopped', deadlineMs, () => (one.child.exitCode !== null ? true : undefined));
  return one.ended;
}

test('up, the printed curl lines, a second start refused, Ctrl-C', async () => {
  const one = start('--drivers', '60', '--redis-masters', '3');
  const { stack, text } = await ready(one);
  assert.equal(findStack(home)?.ready, true);
  assertPrivate();

  const commands = text.split('\n').filter((line) => line.trim().startsWith('curl'));
  assert.equal(commands.length, 3);
  // On a busy machine the first driver comes late, and so does an answer.
  await waitFor('the printed commands show what they promise', START_DEADLINE_MS, async () => {
    const [nearby, driver, partitions] = await Promise.all(
      commands.map(async (command) => {
        const { stdout } = await run('bash', ['-c', command], { cwd: root, env });
        return JSON.parse(stdout);
      }),
    );
    assert.equal(nearby.complete, true);
    assert.ok(nearby.drivers.length > 0);
    assert.match(String(driver.driver_id), /^sim-1-/);
    assert.equal(partitions.complete, true);
    return true;
  });

  const [, token = ''] = /^ *http\S+\/#at=[-\d.]+,[-\d.]+&zoom=11&token=(\S+)$/m.exec(text) ?? [];
  const asked = await fetch(`${stack.query.url}/v1/partitions`, {
    headers: { authorization: `Bearer ${token}` },
  });
  assert.equal(asked.status, 200);

  const second = start('--drivers', '0');
  assert.equal(await second.ended, 2);
  assert.match(JSON.stringify(second.lines), /already running/);

  one.child.kill('SIGINT');
  assert.equal(await stopped(one), 0);
  await nothingIsLeft(stack);
});

test('data survive; a run that was killed is cleared away by the next', async () => {
  const killed = start('--drivers', '0');
  const { stack } = await ready(killed);
  const { stdout } = await run('npm', ['run', '-s', 'inspect', '--', 'sim-1-1', '--json'], {
    cwd: root,
    env,
  });
  const { cache, archive } = JSON.parse(stdout);
  assert.equal(cache[0].position.driverId, 'sim-1-1');
  assert.equal(archive.row.driver_id, 'sim-1-1');

  await replays();
  process.kill(stack.pid, 'SIGKILL');
  await killed.ended;
  const next = start('--drivers', '0');
  const again = await ready(next);
  const before = new Set(pidsOf(stack));
  assert.deepEqual(
    [...before].filter((pid) => isAlive(pid) && !pidsOf(again.stack).includes(pid)),
    [],
  );
  next.child.kill('SIGTERM');
  assert.equal(await stopped(next), 0);
  await nothingIsLeft(again.stack);
});

test('a stop in the middle of the start leaves nothing behind', async () => {
  const one = start('--drivers', '0');
  await waitFor('the servers start', START_DEADLINE_MS, () =>
    one.child.exitCode !== null || one.lines.some(({ event }) => event === 'starting') ? true : undefined,
  );
  one.child.kill('SIGTERM');
  assert.equal(await stopped(one), 0);
  assert.equal(findStack(home), null);
  assert.equal(existsSync(join(home, 'processes.json')), false);
});

/** As after a power cut that came before the content was on the disk. */
function empty(...names: string[]): void {
  for (const name of names) writeFileSync(join(home, name), '');
}

const STATE = ['stack.json', 'processes.json', 'start.pid', 'passwords.json', 'jwt-secret'];
const MAP = ['partition-map.json', 'partition-map.origin', join('redis-cluster', 'partition-map.hash')];
const DATA = [join('redis-cluster', 'cluster.json'), join('postgres', 'moved-to')];

test('with emptied state files it starts, or says how to begin anew; clean works always', async () => {
  empty(...STATE, ...MAP);
  const one = start('--drivers', '20');
  await ready(one);
  assert.equal(one.lines.filter(({ event }) => event === 'damaged').length, 2, 'two secrets are made anew');
  one.child.kill('SIGTERM');
  assert.equal(await stopped(one), 0);

  writeFileSync(join(home, 'redis-cluster', 'partition-map.hash'), 'of another map');
  empty('partition-map.json');
  const lost = start('--drivers', '0');
  assert.equal(await stopped(lost), 1);
  assert.match(JSON.stringify(lost.lines), /partition-map\.json is empty or damaged.*--fresh/);

  const place = readFileSync(join(home, 'postgres', 'moved-to'), { encoding: 'utf8', flag: 'a+' });
  empty(...STATE, ...MAP, ...DATA);
  const broken = start('--drivers', '0');
  assert.equal(await stopped(broken), 1);
  assert.match(JSON.stringify(broken.lines), /cluster\.json is empty or damaged.*--fresh/);

  const { stdout } = await run('npm', ['run', '-s', 'clean'], { cwd: root, env });
  assert.match(stdout, /^Removed /);
  assert.equal(existsSync(home), false);
  if (place !== '') rmSync(place, { recursive: true });
});

// A Redis node dies while the stack runs: stack.json and the live line show it, `npm run node` lists it and restarts it
// as a child of the stack, and nothing of it outlives the stack.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { childPids, isAlive, waitFor } from '@whereabouts/infra/local/server-process';
import { seededRandom } from '@whereabouts/infra/seeded-random';
import { CITIES } from '../fleet/cities.js';
import { root } from '../home.js';
import type { ServerRow } from '../stack/control.js';
import { OwnStack } from '../stack/own-stack.js';
import type { StackNode } from '../stack-file.js';
import { mapOf } from '../testing/places.js';
import type { TopSnapshot } from '../top/top-snapshot.js';

const DEADLINE_MS = 60_000;

let stack: OwnStack;

before(async () => {
  stack = await OwnStack.start(mapOf(CITIES, 0.1, seededRandom(5)));
});
after(() => stack?.stop());

function node(...args: string[]): { status: number | null; servers: ServerRow[]; error: string } {
  const script = join(root, 'scripts', 'dist', 'node.js');
  const { status, stdout, stderr } = spawnSync(process.execPath, [script, ...args, '--json'], {
    encoding: 'utf8',
    env: { ...process.env, WHEREABOUTS_HOME: stack.home },
  });
  return { status, servers: stdout === '' ? [] : JSON.parse(stdout).servers, error: stderr };
}

const at = (port: number): StackNode => {
  const found = stack.now.redis.find((one) => one.port === port);
  assert.ok(found);
  return found;
};
const until = (what: string, holds: () => boolean) => waitFor(what, DEADLINE_MS, () => holds() || undefined);

async function kill(port: number): Promise<void> {
  const { pid } = at(port);
  process.kill(pid, 'SIGKILL');
  await until(`${port} is told to be down`, () => at(port).state === 'down');
}

/** The replica of the master on that port: the ports of a shard's nodes differ by the number of shards. */
const partnerOf = (port: number): number => {
  const ports = stack.now.redis.map((one) => one.port);
  const index = ports.indexOf(port);
  return ports[(index + ports.length / 2) % ports.length] as number;
};

test('a failover swaps the roles in stack.json, and the dead node is told with the command that helps', async () => {
  const port = stack.now.redis[1]?.port as number;
  await kill(port);
  await until('its replica is the master', () => at(partnerOf(port)).role === 'master');
  await until('it has no slots any more', () => at(port).role === 'replica');
  assert.equal(stack.now.redis.filter(({ role }) => role === 'master').length, 3);
  await until('the live line tells it', () =>
    stack.troubles.join().includes(`npm run node -- start ${port}`),
  );
  assert.match(
    stack.said('node_down').join(),
    new RegExp(`:${port} is down\\. Bring it back with: npm run node`),
  );
  const row = node().servers.find(({ name }) => name === String(port));
  assert.deepEqual([row?.role, row?.state], ['replica', 'down']);
});

test('the command brings it back with its data, as a child of the stack', async () => {
  const port = stack.now.redis[1]?.port as number;
  const { status, servers, error } = node('start', String(port));
  assert.equal(status, 0, error);
  const row = servers.find(({ name }) => name === String(port));
  assert.equal(row?.state, 'up');
  assert.ok(childPids(stack.now.pid).includes(row?.pid as number));
  await until('stack.json has its new process', () => at(port).pid === row?.pid && at(port).state === 'up');
  await until('the live line is quiet', () => stack.troubles.length === 0);
});

test('a region whose nodes are all dead is told as dark, and goes on when one is started', async () => {
  const port = stack.now.redis[0]?.port as number;
  await kill(partnerOf(port));
  await kill(port);
  const dark = new RegExp(
    `^dark since [\\d:]{8}: \\S.*, \\d+ of ${stack.map.partitions} partitions \\(127\\.0\\.0\\.1:\\d+\\)$`,
  );
  await until('the live line tells it first', () => dark.test(stack.troubles[0] ?? ''));
  assert.equal(at(port).role, 'master', 'nobody took its slots');
  for (const each of [port, partnerOf(port)]) assert.equal(node('start', String(each)).status, 0);
  await until('nothing is dark or down', () => stack.troubles.length === 0);
  assert.match(stack.said('dark').join(), /^Dark since /);
  assert.match(stack.said('dark_over').join(), /^Nothing is dark any more, after \d+ s\.$/);
});

const TOP = join(root, 'scripts', 'dist', 'top.js');

test('npm run top: one snapshot where there is no terminal, with what the nodes and services say', () => {
  const { status, stdout, stderr } = spawnSync(process.execPath, [TOP, '--json'], {
    encoding: 'utf8',
    env: { ...process.env, WHEREABOUTS_HOME: stack.home },
  });
  assert.equal(status, 0, stderr);
  const { nodes, services, archive, dark, worst } = JSON.parse(stdout) as TopSnapshot;
  assert.deepEqual(
    nodes.map(({ role, memory_bytes }) => [role, (memory_bytes ?? 0) > 0]),
    stack.now.redis.map(({ role }) => [role, true]),
  );
  assert.deepEqual(
    services.map(({ name, answers }) => [name, answers]),
    ['ingest', 'flusher', 'query-api'].map((name) => [name, true]),
  );
  assert.equal(archive.postgres_up, true);
  assert.equal(dark, null);
  assert.equal(worst.length, 5);
});

/** Runs a command in a separate terminal, presses `q` once it has drawn, and prints the output as hex. */
const IN_A_TERMINAL = `
import os, pty, select, signal, sys, time
pid, fd = pty.fork()
if pid == 0: os.execv(sys.argv[1], sys.argv[1:])
out, pressed, until = b'', False, time.time() + 60
while time.time() < until:
    if not select.select([fd], [], [], 0.2)[0]: continue
    try: part = os.read(fd, 65536)
    except OSError: break
    if not part: break
    out += part
    if not pressed and b'loss window' in out: pressed = os.write(fd, b'q') > 0
else: os.kill(pid, signal.SIGKILL)
print(out.hex(), os.waitpid(pid, 0)[1])
`;

test('npm run top in a terminal: q ends it, and leaves the terminal as it was', (t) => {
  const { status, stdout, error } = spawnSync('python3', ['-c', IN_A_TERMINAL, process.execPath, TOP], {
    encoding: 'utf8',
    env: { ...process.env, WHEREABOUTS_HOME: stack.home, TERM: 'xterm' },
  });
  if (error !== undefined) return t.skip('python3 is not here to give it a terminal');
  const [hex = '', exit] = stdout.trim().split(' ');
  const out = Buffer.from(hex, 'hex').toString();
  assert.deepEqual([status, exit], [0, '0'], out);
  assert.ok(out.startsWith('\u001b[?1049h\u001b[?25l'), 'the other screen, without a cursor');
  assert.ok(out.endsWith('\u001b[?25h\u001b[?1049l'), 'the cursor and the screen are back');
});

test('a service that is started again has its new process in stack.json', async () => {
  for (const pidOf of [() => stack.now.flusher.pid, () => stack.now.promoter?.pid as number]) {
    const before = pidOf();
    process.kill(before, 'SIGKILL');
    await until('it has another process', () => pidOf() !== before && isAlive(pidOf()));
  }
});

test('Postgres too', async () => {
  const { pid } = stack.now.postgres;
  assert.ok(pid);
  process.kill(pid, 'SIGKILL');
  await until('it is gone', () => !isAlive(pid));
  await until('it is listed as down', () => node().servers.at(-1)?.state === 'down');
  await until('the live line tells it', () => stack.troubles.join().includes('node -- start postgres'));
  const { status, servers, error } = node('start', 'postgres');
  assert.equal(status, 0, error);
  await until('stack.json has its new process', () => stack.now.postgres.pid === servers.at(-1)?.pid);
  await until('the live line is quiet', () => stack.troubles.length === 0);
});

test('what runs, what is frozen and what is not there is not started', async () => {
  const { port, pid } = stack.now.redis[2] as StackNode;
  const refused = (name: string) => {
    const { status, error } = node('start', name);
    assert.equal(status, 2);
    return error;
  };
  assert.match(refused(String(port)), new RegExp(`runs \\(process ${pid}\\)`));
  assert.match(refused('9'), /no server 9/);
  assert.match(refused('../9'), /could not be done/);
  process.kill(pid, 'SIGSTOP');
  try {
    await until('it is told to be silent', () => at(port).state === 'silent');
    assert.match(refused(String(port)), /does not answer/);
  } finally {
    process.kill(pid, 'SIGCONT');
  }
  await until('it is up', () => at(port).state === 'up');
});

test('the socket is ours alone, and nothing is left when the stack stops', async () => {
  const { control, pid } = stack.now;
  assert.equal(statSync(control).mode & 0o077, 0);
  const pids = childPids(pid);
  await stack.stop(async () => {
    assert.equal(existsSync(control), false);
    assert.deepEqual(pids.filter(isAlive), []);
  });
});

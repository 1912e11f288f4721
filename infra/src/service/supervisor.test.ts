import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';
import { waitFor } from '../../local/server-process.js';
import { type ChildEnd, type Supervised, Supervisor } from './supervisor.js';

const DEADLINE_MS = 20_000;
const FOREVER = 'setInterval(() => {}, 1000)';

interface Watched {
  supervisor: Supervisor;
  starts: ChildProcess[];
  ends: [end: ChildEnd, waitMs: number | null][];
}

/** `source(n)` is what the n-th child runs, from 1 on. */
function supervise(source: (start: number) => string, more: Partial<Supervised> = {}): Watched {
  const starts: ChildProcess[] = [];
  const ends: Watched['ends'] = [];
  const supervisor = new Supervisor({
    spawn: () => {
      const child = spawn(process.execPath, ['-e', source(starts.length + 1)], { stdio: 'ignore' });
      starts.push(child);
      return child;
    },
    pace: { firstMs: 20, limitMs: 60, steadyMs: 60_000 },
    onEnd: (end, waitMs) => void ends.push([end, waitMs]),
    ...more,
  });
  return { supervisor, starts, ends };
}

const stop = (supervisor: Supervisor) => supervisor.stop((child) => child.kill('SIGTERM'));

test('a child that fails five times and then lives: each wait is longer, up to the limit', async () => {
  const { supervisor, starts, ends } = supervise((start) => (start <= 5 ? 'process.exit(3)' : FOREVER));
  supervisor.up();
  await waitFor('the sixth one runs', DEADLINE_MS, () => (starts.length === 6 ? true : undefined));
  assert.deepEqual(
    ends.map(([{ code }]) => code),
    [3, 3, 3, 3, 3],
  );
  const fullMs = [20, 40, 60, 60, 60];
  for (const [i, [, waitMs]] of ends.entries()) {
    const full = fullMs[i] as number;
    assert.ok(waitMs !== null && waitMs >= full / 2 && waitMs <= full, `wait ${i}: ${waitMs}`);
  }
  assert.equal((await stop(supervisor))?.signal, 'SIGTERM');
  assert.equal(supervisor.child, null);
  assert.equal(ends.length, 5, 'a child that was stopped is no end');
});

test('a child that lived long enough begins with the first wait again', async () => {
  const pace = { firstMs: 20, limitMs: 60_000, steadyMs: 1 };
  const { supervisor, starts, ends } = supervise(() => 'process.exit(1)', { pace });
  supervisor.up();
  await waitFor('six starts', DEADLINE_MS, () => (starts.length >= 6 ? true : undefined));
  await stop(supervisor);
  assert.ok(ends.every(([, waitMs]) => waitMs !== null && waitMs <= 20));
});

test('a child that should not restart stays down; so does one that waits for its restart when it is stopped', async () => {
  const ended = supervise(() => 'process.exit(0)', { shouldRestart: ({ code }) => code !== 0 });
  ended.supervisor.up();
  await waitFor('it has ended', DEADLINE_MS, () => (ended.ends.length > 0 ? true : undefined));
  assert.equal(ended.ends[0]?.[1], null);

  const waiting = supervise(() => 'process.exit(1)', {
    pace: { firstMs: 60_000, limitMs: 60_000, steadyMs: 1 },
  });
  waiting.supervisor.up();
  await waitFor('it waits', DEADLINE_MS, () => (waiting.ends.length > 0 ? true : undefined));
  assert.equal(await stop(waiting.supervisor), null);
  waiting.supervisor.up();
  assert.equal(waiting.starts.length, 1);
  assert.equal(waiting.supervisor.child, null);
});

test('a program that cannot be started is an end like any other', async () => {
  let starts = 0;
  const ends: ChildEnd[] = [];
  const supervisor = new Supervisor({
    spawn: () => spawn(++starts < 3 ? '/nowhere/at/all' : process.execPath, ['-e', FOREVER]),
    pace: { firstMs: 5, limitMs: 20, steadyMs: 60_000 },
    onEnd: (end) => void ends.push(end),
  });
  supervisor.up();
  await waitFor('it runs', DEADLINE_MS, () => supervisor.child?.pid);
  assert.match(ends.map(({ error }) => error?.message).join(), /ENOENT.*,.*ENOENT/);
  const child = supervisor.child as ChildProcess;
  const exit = once(child, 'exit');
  await stop(supervisor);
  await exit;
});

// Real processes, as signals and exit codes are the point. A tiny service says on stdout what becomes of it.

import assert from 'node:assert/strict';
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { createLogger } from './log.js';
import { runService } from './shell.js';

const TINY = fileURLToPath(new URL('./fixtures/tiny-service.js', import.meta.url));
const DEADLINE = { timeout: 30_000 };

class Tiny {
  readonly child: ChildProcess;
  readonly lines: string[] = [];
  readonly exited: Promise<number | null>;
  /** Exited, and all of its output read. */
  readonly closed: Promise<unknown>;
  stderr = '';

  constructor(args: string[], env: NodeJS.ProcessEnv = {}) {
    const stdio = ['pipe', 'pipe', 'pipe', 'ipc'] as const;
    this.child = fork(TINY, args, { stdio: [...stdio], env: { HOST: '127.0.0.1', ...env } });
    if (!this.child.stdout) throw new Error('no stdout');
    createInterface(this.child.stdout).on('line', (line) => this.lines.push(line));
    this.child.stderr?.on('data', (chunk) => {
      this.stderr += chunk;
    });
    this.exited = once(this.child, 'exit').then(([code]) => code as number | null);
    this.closed = once(this.child, 'close');
  }

  /** The first logged line with this message. */
  async logged(msg: string): Promise<Record<string, unknown>> {
    for (const until = Date.now() + 20_000; Date.now() < until; await new Promise((r) => setTimeout(r, 10))) {
      const found = this.lines.map((line) => JSON.parse(line)).find((line) => line.msg === msg);
      if (found) return found;
    }
    throw new Error(`never logged: ${msg}\n${this.lines.join('\n')}\n${this.stderr}`);
  }

  async running(): Promise<string> {
    return `http://127.0.0.1:${(await this.logged('tiny is running')).ops_port}`;
  }
}

function tiny(t: { after(work: () => void): void }, args: string[] = [], env: NodeJS.ProcessEnv = {}): Tiny {
  const service = new Tiny(args, env);
  t.after(() => void service.child.kill('SIGKILL'));
  return service;
}

for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  test(`${signal}: not ready while it drains, then exit 0`, DEADLINE, async (t) => {
    const service = tiny(t, ['wait']);
    const url = await service.running();
    assert.equal((await fetch(`${url}/readyz`)).status, 200);
    assert.match(await (await fetch(`${url}/metrics`)).text(), /whereabouts_tiny_build_info/);
    service.child.kill(signal);
    await service.logged('draining');
    const readyz = await fetch(`${url}/readyz?verbose`);
    assert.equal(readyz.status, 503);
    assert.match(await readyz.text(), /"name":"service","ok":false,"detail":"draining"/);
    assert.equal((await fetch(`${url}/livez`)).status, 200);
    service.child.stdin?.write('go\n');
    assert.equal(await service.exited, 0);
    await service.logged('drained');
  });
}

test('a second signal ends it at once', DEADLINE, async (t) => {
  const service = tiny(t, ['wait'], { DRAIN_DEADLINE_MS: '600000' });
  await service.running();
  service.child.kill('SIGINT');
  await service.logged('draining');
  service.child.kill('SIGTERM');
  assert.equal(await service.exited, 1);
});

test('a drain that is not through by its deadline ends with 1', DEADLINE, async (t) => {
  const service = tiny(t, ['wait'], { DRAIN_DEADLINE_MS: '100' });
  await service.running();
  service.child.kill('SIGTERM');
  assert.equal(await service.exited, 1);
  await service.logged('could not drain');
});

test('a drain that fails ends with 1', DEADLINE, async (t) => {
  const service = tiny(t, ['fail']);
  await service.running();
  service.child.kill('SIGTERM');
  assert.equal(await service.exited, 1);
  await service.logged('could not drain');
});

test(
  'a parent that has gone, with its pipes, drains it; a signal then counts as the first',
  DEADLINE,
  async (t) => {
    const service = tiny(t, ['wait']);
    await service.running();
    service.child.disconnect();
    await service.logged('draining');
    service.child.kill('SIGTERM');
    service.child.stdout?.destroy();
    service.child.stderr?.destroy();
    service.child.stdin?.write('go\n');
    assert.equal(await service.exited, 0);
  },
);

for (const broken of ['rejection', 'exception']) {
  test(`an uncaught ${broken} is logged and ends it with 70`, DEADLINE, async (t) => {
    const service = tiny(t, ['ok', broken]);
    assert.equal(await service.exited, 70);
    const line = await service.logged('an invariant is broken');
    assert.equal(line.level, 'fatal');
    assert.match(JSON.stringify(line.err), /nobody catches this|JSON/);
  });
}

test('a signal in the middle of the start drains too', DEADLINE, async (t) => {
  const service = tiny(t, ['ok', 'endless-start']);
  await service.logged('starting');
  service.child.kill('SIGTERM');
  assert.equal(await service.exited, 0);
  await service.logged('drained');
});

test('bad settings are told to a person and end it with 78', DEADLINE, async (t) => {
  const service = tiny(t, [], { OPS_PORT: 'high', LOG_LEVEL: 'loud' });
  assert.equal(await service.exited, 78);
  await service.closed;
  assert.match(
    service.stderr,
    /^tiny: the settings are not usable:\n {2}- OPS_PORT is "high"[\s\S]*LOG_LEVEL/,
  );
});

test('a start that fails ends it with 1: its own error, or a taken port', DEADLINE, async (t) => {
  const failing = tiny(t, ['ok', 'start']);
  assert.equal(await failing.exited, 1);
  assert.match(JSON.stringify(await failing.logged('could not start')), /the start went wrong/);

  const squatter = createServer().listen(0, '127.0.0.1');
  t.after(() => void squatter.close());
  await once(squatter, 'listening');
  const { port } = squatter.address() as AddressInfo;
  const late = tiny(t, [], { OPS_PORT: String(port) });
  assert.equal(await late.exited, 1);
  assert.match(
    JSON.stringify(await late.logged('could not start')),
    new RegExp(`OPS_PORT ${port}.* is taken`),
  );
});

test('one listener speaks for several processes, and is not ready before its start is through', async () => {
  const codes: number[] = [];
  let drains = 0;
  const inTheStart: number[] = [];
  const port = await freePort();
  const before = process.listenerCount('SIGTERM');
  const service = await runService({
    name: 'front',
    log: createLogger('front', 'silent'),
    opsHost: '127.0.0.1',
    opsPort: port,
    registry: { metrics: async () => 'workers 2\n' },
    readiness: async () => ({ ready: true, checks: [] }),
    start: async () => {
      for (const path of ['livez', 'readyz']) {
        inTheStart.push((await fetch(`http://127.0.0.1:${port}/${path}`)).status);
      }
    },
    drain: async () => void drains++,
    drainDeadlineMs: 10_000,
    exit: (code) => void codes.push(code),
  });
  assert.deepEqual(inTheStart, [200, 503]);
  assert.equal(service.opsPort, port);
  assert.equal(await (await fetch(`http://127.0.0.1:${port}/metrics`)).text(), 'workers 2\n');
  await Promise.all([service.stop('the test is over'), service.stop('twice')]);
  assert.deepEqual([codes, drains], [[0], 1]);
  assert.equal(process.listenerCount('SIGTERM'), before);
  await assert.rejects(fetch(`http://127.0.0.1:${port}/livez`));
});

test('a process whose parent answers for it has no listener', async () => {
  const service = await runService({
    name: 'worker',
    log: createLogger('worker', 'silent'),
    opsHost: '127.0.0.1',
    opsPort: null,
    registry: { metrics: async () => '' },
    readiness: () => ({ ready: true, checks: [] }),
    drain: async () => {},
    drainDeadlineMs: 10_000,
    exit: () => {},
  });
  assert.equal(service.opsPort, 0);
  await service.stop('the test is over');
});

async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address() as AddressInfo;
  await new Promise((resolve) => probe.close(resolve));
  return port;
}

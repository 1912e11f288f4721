import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { test } from 'node:test';
import { createLogger } from './log.js';
import { listenOps, type OpsSources, type ReadinessReport } from './ops-listener.js';

const READY: ReadinessReport = {
  ready: true,
  checks: [{ name: 'region 3', ok: false, detail: 'dark since 2 s' }],
};

async function listening(t: { after(work: () => Promise<void>): void }, sources: Partial<OpsSources> = {}) {
  const ops = await listenOps(
    {
      log: createLogger('tiny', 'silent'),
      registry: { metrics: async () => 'up 1\n' },
      readiness: () => READY,
      ...sources,
    },
    { host: '127.0.0.1', port: 0 },
  );
  t.after(() => ops.close());
  return {
    port: ops.port,
    get: (path: string, init?: RequestInit) => fetch(`http://127.0.0.1:${ops.port}${path}`, init),
  };
}

test('livez and metrics', async (t) => {
  const { get } = await listening(t);
  assert.equal((await get('/livez')).status, 200);
  assert.equal((await get('/livez', { method: 'HEAD' })).status, 200);
  const metrics = await get('/metrics');
  assert.match(metrics.headers.get('content-type') ?? '', /^text\/plain; version=0\.0\.4/);
  assert.equal(await metrics.text(), 'up 1\n');
});

test('readyz asks anew each time, and a failed check alone leaves it at 200', async (t) => {
  let report = READY;
  const { get } = await listening(t, { readiness: async () => report });
  assert.equal((await get('/readyz')).status, 200);
  const verbose = await get('/readyz?verbose');
  assert.equal(verbose.headers.get('content-type'), 'application/json');
  assert.deepEqual(await verbose.json(), READY);
  report = { ready: false, checks: [] };
  assert.equal((await get('/readyz')).status, 503);
  assert.deepEqual(await (await get('/readyz?verbose=1')).json(), report);
});

test('a readiness that throws or hangs is not ready', async (t) => {
  const throwing = await listening(t, {
    readiness: () => {
      throw new Error('no master is reachable');
    },
  });
  const answer = await throwing.get('/readyz?verbose');
  assert.equal(answer.status, 503);
  assert.match(await answer.text(), /no master is reachable/);
  const hanging = await listening(t, { readiness: () => new Promise<ReadinessReport>(() => {}) });
  assert.equal((await hanging.get('/readyz')).status, 503);
});

test('everything else is a problem answer', async (t) => {
  const { get } = await listening(t, { registry: { metrics: () => Promise.reject(new Error('broken')) } });
  const expected = [
    [await get('/'), 404],
    [await get('/constructor'), 404],
    [await get('//'), 404],
    [await get('/livez', { method: 'POST', body: 'x' }), 405],
    [await get('/metrics'), 500],
  ] as const;
  for (const [response, status] of expected) {
    assert.equal(response.status, status);
    assert.equal(response.headers.get('content-type'), 'application/problem+json');
    assert.equal(((await response.json()) as { status: number }).status, status);
  }
  assert.equal(expected[3][0].headers.get('allow'), 'GET, HEAD');
});

test('hundreds of idle connections do not take livez away', async (t) => {
  const { port, get } = await listening(t);
  const sockets = Array.from({ length: 300 }, () => connect(port, '127.0.0.1').on('error', () => {}));
  t.after(() => {
    for (const socket of sockets) socket.destroy();
  });
  await Promise.all(sockets.map((socket) => new Promise((resolve) => socket.once('connect', resolve))));
  for (let i = 0; i < 20; i++) assert.equal((await get('/livez')).status, 200);
  assert.equal((await get('/readyz')).status, 200);
});

test('what is no request is a problem answer too', async (t) => {
  const { port } = await listening(t);
  const text = await new Promise<string>((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => socket.write('nonsense\r\n\r\n'));
    socket.on('data', (data) => resolve(String(data)));
    socket.on('error', reject);
    t.after(() => socket.destroy());
  });
  assert.match(text, /^HTTP\/1\.1 400 [\s\S]*application\/problem\+json/);
});

test('a taken port is named', async (t) => {
  const { port } = await listening(t);
  const sources = {
    log: createLogger('tiny', 'silent'),
    registry: { metrics: async () => '' },
    readiness: () => READY,
  };
  await assert.rejects(listenOps(sources, { host: '127.0.0.1', port }), {
    code: 'port_taken',
    message: `OPS_PORT ${port} on 127.0.0.1 is taken: give a free one`,
  });
  await assert.rejects(listenOps(sources, { host: 'no.such.host.invalid', port: 0 }), {
    code: 'cannot_listen',
  });
});

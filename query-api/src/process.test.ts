// query-api as a process: reports all faulty settings at once, becomes ready, drains on a signal, and owns its port.

import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { connect } from 'node:net';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { evenPartitionMap } from '@whereabouts/infra/partition-map';
import { DEADLINE_MS, eventually, type Running, startRunning } from './fixtures/running-service.js';

const MAIN = fileURLToPath(new URL('./main.js', import.meta.url));

let running: Running;
const children: ChildProcess[] = [];

before(async () => {
  running = await startRunning(evenPartitionMap(16));
});
after(async () => {
  for (const child of children) child.kill('SIGKILL');
  await running.stop();
});

interface Started {
  child: ChildProcess;
  output(): string;
  exited: Promise<number | null>;
}

function start(env: NodeJS.ProcessEnv): Started {
  const child = spawn(process.execPath, [MAIN], { env, stdio: ['ignore', 'pipe', 'pipe'] });
  children.push(child);
  let output = '';
  child.stdout?.on('data', (data) => {
    output += data;
  });
  child.stderr?.on('data', (data) => {
    output += data;
  });
  const exited = new Promise<number | null>((resolve) => child.on('exit', (code) => resolve(code)));
  return { child, output: () => output, exited };
}

async function whenRunning({ output }: Started): Promise<{ port: number; opsPort: number }> {
  return await eventually(async () => {
    const port = Number(/"port":(\d+)/.exec(output())?.[1]);
    const opsPort = Number(/"ops_port":(\d+)/.exec(output())?.[1]);
    assert.ok(port > 0 && opsPort > 0, output());
    return { port, opsPort };
  });
}

test('process: everything that is wrong with the settings is said at once', async () => {
  const { exited, output } = start({
    PORT: '70000',
    REDIS_URL: 'http://x',
    JWT_SECRET: 'short',
    PARTITION_MAP_FILE: MAIN,
    FRESHNESS_MS: '5',
    COVERAGE_LAG_MS: '1',
    MAX_QUESTIONS_IN_FLIGHT: 'many',
  });
  assert.equal(await exited, 78);
  const names = ['PORT', 'REDIS_URL', 'JWT_SECRET', 'PARTITION_MAP_FILE', 'FRESHNESS_MS'];
  for (const name of [...names, 'COVERAGE_LAG_MS', 'MAX_QUESTIONS_IN_FLIGHT']) {
    assert.match(output(), new RegExp(`- ${name}`), name);
  }
});

test('process: ready, then drained by SIGTERM with what is under way answered', async () => {
  const started = start({ ...running.env, LOG_LEVEL: 'info' });
  const { port, opsPort } = await whenRunning(started);
  const ready = await eventually(async () => {
    const response = await fetch(`http://127.0.0.1:${opsPort}/readyz?verbose`);
    assert.equal(response.status, 200);
    return await response.text();
  });
  assert.match(ready, new RegExp(running.map.hash));
  const metrics = await (await fetch(`http://127.0.0.1:${opsPort}/metrics`)).text();
  assert.match(metrics, /whereabouts_query_api_request_duration_seconds/);

  // A request whose body is still arriving when the signal comes.
  const body = JSON.stringify({ points: [{ lat: 1, lon: 1 }] });
  const head = `POST /v1/drivers/nearby:batch HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer ${running.token}\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\nExpect: 100-continue\r\n\r\n`;
  let answer = '';
  const socket = connect(port, '127.0.0.1');
  socket.on('data', (data) => {
    answer += data;
  });
  socket.on('error', () => {});
  const closed = new Promise<void>((resolve) => socket.on('close', () => resolve()));
  socket.write(head);
  await eventually(async () => assert.match(answer, /100 Continue/));
  answer = '';
  started.child.kill('SIGTERM');
  await eventually(async () => assert.match(started.output(), /"msg":"draining"/));
  await assert.rejects(fetch(`http://127.0.0.1:${port}/`));
  socket.write(body);
  await closed;
  assert.match(answer, /^HTTP\/1.1 (200|503) /);
  assert.match(answer, /connection: close/i);
  assert.equal(await started.exited, 0);
});

test('process: a taken port is an error, not shared', { timeout: DEADLINE_MS }, async () => {
  const { exited, output } = start({ ...running.env, PORT: String(running.service.port) });
  assert.equal(await exited, 1);
  assert.match(output(), /cannot listen on 127\.0\.0\.1, PORT \d+/);
});

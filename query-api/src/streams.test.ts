// Streams on a real server, with the test's own clock: which stream is examined when, and what happens to slow readers.

import assert from 'node:assert/strict';
import { createServer, type ServerResponse } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import { createMetrics, type Metrics } from '@whereabouts/infra/service/metrics';
import { Admission } from './admission.js';
import { EventStream } from './event-stream.js';
import { createQueryMetrics } from './query-metrics.js';
import { Streams } from './streams.js';

const DEADLINE_MS = 15_000;
const FOREVER_MS = Number.MAX_SAFE_INTEGER;

interface Listening {
  port: number;
  streams: Streams;
  metrics: Metrics;
  admission: Admission;
  /** Added to the clock. */
  later(ms: number): void;
}

async function listening(
  t: TestContext,
  change: () => string | null,
  { leavesEarly } = { leavesEarly: false },
): Promise<Listening> {
  let addedMs = 0;
  const nowMs = () => performance.now() + addedMs;
  const metrics = createMetrics('query-api', { commit: 'test' });
  const { streams: streamMetrics } = createQueryMetrics(metrics);
  const limits = { questionsPerS: 3_000, inFlight: 400, inFlightPerSubject: 200 };
  const admission = new Admission(limits, () => {}, nowMs);
  const streams = new Streams({
    ...{ limits: { inAll: 1_000, perSubject: 1_000 }, admission, metrics: streamMetrics, nowMs },
    revision: () => 'r-1',
  });
  const open = (response: ServerResponse) => {
    streams.admit('caller');
    const events = new EventStream(response, {});
    streams.open({ subject: 'caller', tokenExpiresAtMs: FOREVER_MS, events, change }, '{}', 'r-0');
  };
  const server = createServer(({ socket }, response) => {
    if (!leavesEarly) return open(response);
    response.once('close', () => setImmediate(open, response));
    socket.destroy();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    streams.drain();
    server.close();
    server.closeAllConnections();
  });
  const later = (ms: number) => {
    addedMs += ms;
  };
  return { port: (server.address() as AddressInfo).port, streams, metrics, admission, later };
}

interface Caller {
  socket: Socket;
  text(): string;
  isOpen(): boolean;
}

async function caller(t: TestContext, port: number): Promise<Caller> {
  const socket = connect(port, '127.0.0.1');
  t.after(() => socket.destroy());
  let text = '';
  let isOpen = true;
  socket.setEncoding('latin1');
  socket.on('data', (data) => {
    text += data;
  });
  socket.on('error', () => {});
  socket.on('close', () => {
    isOpen = false;
  });
  await new Promise<void>((resolve) => socket.once('connect', resolve));
  socket.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
  return { socket, text: () => text, isOpen: () => isOpen };
}

async function until(holds: () => boolean | Promise<boolean>, what: string): Promise<void> {
  const endMs = performance.now() + DEADLINE_MS;
  while (!(await holds())) {
    assert.ok(performance.now() < endMs, `not in time: ${what}`);
    await pause(10);
  }
}

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

async function metricOf({ metrics }: Listening, name: string): Promise<number> {
  const lines = (await metrics.registry.metrics()).split('\n');
  const line = lines.find((one) => one.startsWith(`whereabouts_query_api_${name} `));
  return Number(line?.split(' ').at(-1) ?? 0);
}

test('streams: each is looked at twice a second, and no more', async (t) => {
  let looks = 0;
  const it = await listening(t, () => `{"look":${looks++}}`);
  const startedAtMs = performance.now();
  const reading = await caller(t, it.port);
  await until(() => looks >= 5, 'five looks');
  const tookMs = performance.now() - startedAtMs;
  assert.ok(looks <= 1 + tookMs / 500, `${looks} in ${tookMs} ms`);
  await until(
    () => /event: change\nid: r-1\ndata: \{"look":4\}\n\n/.test(reading.text()),
    'the fifth change',
  );
});

test('streams: whoever does not read is not looked at, and is told how it is once he reads again', async (t) => {
  let [looks, state] = [0, 0];
  // More than all buffers on the way hold.
  const padding = 'x'.repeat(8 << 20);
  const it = await listening(t, () => {
    looks++;
    return `{"state":${state},"padding":"${padding}"}`;
  });
  const slow = await caller(t, it.port);
  await until(() => slow.text().includes('event: snapshot'), 'the snapshot');
  slow.socket.pause();
  await until(() => looks >= 1, 'the first look');
  const before = looks;
  state = 1;
  await pause(1_600);
  assert.ok(looks <= before + 1, `${looks} looks`);
  state = 2;
  slow.socket.resume();
  await until(() => slow.text().includes('{"state":2,'), 'the state of now');
  assert.ok(!slow.text().includes('{"state":1,'), 'what lay between was passed over');
});

test('streams: whoever reads nothing for ten seconds is closed', async (t) => {
  const padding = 'x'.repeat(8 << 20);
  const it = await listening(t, () => `{"padding":"${padding}"}`);
  const slow = await caller(t, it.port);
  await until(() => slow.text().includes('event: snapshot'), 'the snapshot');
  slow.socket.pause();
  await until(async () => (await metricOf(it, 'stream_events_total{event="change"}')) > 0, 'a change');
  await pause(1_000);
  assert.equal(it.streams.size, 1);
  it.later(11_000);
  await until(() => it.streams.size === 0, 'it is closed');
  assert.equal(await metricOf(it, 'streams_ended_total{reason="unread"}'), 1);
  slow.socket.resume();
  await until(() => !slow.isOpen(), 'the connection ends');
});

test('streams: a comment after fifteen seconds of silence', async (t) => {
  const it = await listening(t, () => null);
  const reading = await caller(t, it.port);
  await until(() => reading.text().includes('event: snapshot'), 'the snapshot');
  await pause(700);
  assert.ok(!reading.text().includes('\n:\n'));
  for (const beats of [1, 2]) {
    it.later(15_100);
    await until(() => reading.text().split('\n:\n').length - 1 === beats, `${beats} comments`);
  }
});

test('streams: who left before anything was written is not kept', async (t) => {
  const it = await listening(t, () => null, { leavesEarly: true });
  const gone = await caller(t, it.port);
  await until(() => !gone.isOpen(), 'the connection ends');
  await pause(50);
  assert.equal(it.streams.size, 0);
});

test('streams: so many that are opened at once are looked at in turns, as others wait', async (t) => {
  const looked: number[] = [];
  const it = await listening(t, () => {
    const endMs = performance.now() + 1;
    while (performance.now() < endMs);
    looked.push(performance.now());
    return null;
  });
  const callers = 200;
  await Promise.all(Array.from({ length: callers }, () => caller(t, it.port)));
  await until(() => it.streams.size === callers, 'all are open');
  await until(() => looked.length >= callers, 'all were looked at');
  // Each takes a millisecond, and a turn has eight.
  const turns = await metricOf(it, 'stream_turn_duration_seconds_count');
  assert.ok(turns >= looked.length / 10, `${looked.length} looks in ${turns} turns`);
});

test('streams: a caller who owes for its questions is told later, and no other one', async (t) => {
  let looks = 0;
  const it = await listening(t, () => `{"look":${looks++}}`);
  await caller(t, it.port);
  await until(() => looks > 0, 'a look');
  it.admission.charge('caller', 1e9);
  await pause(600);
  const before = looks;
  await pause(1_200);
  assert.equal(looks, before);
  assert.equal(it.admission.owes('another'), false);
  // Long enough for the debt to be paid.
  it.later(1e6 * 1_000);
  await until(() => looks > before, 'it is looked at again');
});

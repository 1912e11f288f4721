// A caller that asks too much, sends too slowly or holds too many connections does not affect the others.

import assert from 'node:assert/strict';
import { after, before, type TestContext, test } from 'node:test';
import { evenPartitionMap } from '@whereabouts/infra/partition-map';
import { createLogger } from '@whereabouts/infra/service/log';
import { createMetrics } from '@whereabouts/infra/service/metrics';
import { Admission } from './admission.js';
import { head, RawConnection } from './fixtures/raw-http.js';
import { eventually, type Running, startRunning, tokenOf, whenComplete } from './fixtures/running-service.js';
import { readinessOf } from './readiness.js';
import { startQueryService } from './service.js';

const NEARBY = '/v1/drivers/nearby?lat=52.2345678&lon=21.0123456';
const BATCH = '/v1/drivers/nearby:batch';
/** Of a second service, on the same cluster. */
const PER_S = 2;
const MAX_CONNECTIONS = 60;

let running: Running;
let other: { authorization: string };
const logged: string[] = [];

before(async () => {
  const env = {
    MAX_CONNECTIONS: String(MAX_CONNECTIONS),
    MAX_CONNECTIONS_PER_ADDRESS: String(MAX_CONNECTIONS),
  };
  running = await startRunning(evenPartitionMap(16), env, { write: (line) => void logged.push(line) });
  other = await authorizationOf('other');
  await whenComplete(running);
});
after(() => running.stop());

async function authorizationOf(subject: string): Promise<{ authorization: string }> {
  return { authorization: `Bearer ${await tokenOf('drivers:read', { subject })}` };
}

async function assertOthersAreAnswered(): Promise<void> {
  const headers = await authorizationOf(`other-${Math.random().toString(36).slice(2)}`);
  for (let i = 0; i < 10; i++) assert.equal((await running.ask(NEARBY, { headers })).status, 200);
  assert.equal((await running.post(BATCH, { points: [{ lat: 1, lon: 1 }] }, headers)).status, 200);
}

interface Strict {
  ask(path: string, headers: Record<string, string>, body?: object): Promise<Response>;
  metrics(): Promise<string>;
}

async function strict(t: TestContext): Promise<Strict> {
  const metrics = createMetrics('query-api', { commit: 'test' });
  const sockets = { maxConnections: 1_000, maxConnectionsPerAddress: 1_000 };
  const settings = { ...running.settings, ...sockets, maxQuestionsPerS: PER_S };
  const log = createLogger('query-api', 'silent');
  const service = await startQueryService({ settings, map: running.map, metrics, log });
  t.after(() => service.close());
  return {
    ask: (path, headers, body) =>
      fetch(`http://127.0.0.1:${service.port}${path}`, {
        ...(body ? { method: 'POST', body: JSON.stringify(body) } : {}),
        headers: { 'content-type': 'application/json', ...headers },
      }),
    metrics: () => metrics.registry.metrics(),
  };
}

test('fairness: above its rate a caller is told when to ask again; the others are answered', async (t) => {
  const { ask, metrics } = await strict(t);
  const headers = await authorizationOf('hasty');
  const replies = await Promise.all(Array.from({ length: 100 }, () => ask(NEARBY, headers)));
  const refused = replies.filter(({ status }) => status === 429);
  assert.ok(refused.length > 0 && refused.length < replies.length);
  for (const reply of refused) {
    assert.equal(reply.headers.get('retry-after'), '1');
    assert.equal(((await reply.json()) as { code: string }).code, 'rate_limited');
  }
  assert.notEqual((await ask(NEARBY, other)).status, 429);
  assert.match(await metrics(), /refused_questions_total\{reason="rate"\} [1-9]/);
  await eventually(async () => assert.equal((await ask(NEARBY, headers)).status, 200));
});

test('fairness: a question is charged what it weighs', async (t) => {
  const { ask } = await strict(t);
  const headers = await authorizationOf('thorough');
  const points = Array.from({ length: 100 }, () => ({ lat: 1, lon: 1, limit: 100 }));
  assert.notEqual((await ask(BATCH, headers, { points })).status, 429);
  const second = await ask(NEARBY, headers);
  assert.equal(second.status, 429);
  // 200 and its body, less the burst of 4, at 2 a second.
  const retryAfterS = Number(second.headers.get('retry-after'));
  assert.ok(retryAfterS > 50 && retryAfterS <= 101, `${retryAfterS} s`);
});

test('fairness: slow bodies of one caller hold up nobody else, and end', async (t) => {
  const headers = {
    ...(await authorizationOf('slow')),
    'Content-Type': 'application/json',
    'Content-Length': '900',
  };
  const request = head(running, `POST ${BATCH} HTTP/1.1`, {
    Authorization: headers.authorization,
    ...headers,
  });
  const slow = await Promise.all(
    Array.from({ length: 40 }, async () => {
      const raw = await RawConnection.to(running.service.port);
      t.after(() => raw.close());
      await raw.send(request, '{"poi');
      return raw;
    }),
  );
  await assertOthersAreAnswered();
  const statuses = await Promise.all(slow.map(async (raw) => (await raw.answer()).status));
  assert.deepEqual(
    [statuses.filter((status) => status === 408).length, statuses.filter((status) => status === 429).length],
    [32, 8],
  );
  assert.match(
    await running.metrics.registry.metrics(),
    /refused_questions_total\{reason="subject_bodies"\} 8/,
  );
});

test('fairness: beyond the bound idle and half-open connections give way to newcomers', async (t) => {
  const held: RawConnection[] = [];
  t.after(() => {
    for (const raw of held) raw.close();
  });
  for (let i = 0; i < 4 * MAX_CONNECTIONS; i++) {
    const raw = await RawConnection.to(running.service.port);
    held.push(raw);
    if (i % 2 === 0) await raw.send(`GET ${NEARBY} HTTP/1.1\r\nHost: a\r\n`);
    if (i % 40 > 0) continue;
    const newcomer = await RawConnection.to(running.service.port);
    await newcomer.send(head(running, `GET ${NEARBY} HTTP/1.1`, { Authorization: other.authorization }));
    assert.equal((await newcomer.answer()).status, 200);
    newcomer.close();
  }
  const metrics = await running.metrics.registry.metrics();
  assert.ok(Number(/query_api_sockets (\d+)/.exec(metrics)?.[1]) <= MAX_CONNECTIONS);
  assert.match(metrics, /sockets_lost_total\{reason="address_limit"\} [1-9]|reason="limit"\} [1-9]/);
  // In the end also without a newcomer.
  const last = held.at(-1) as RawConnection;
  assert.equal((await last.answer()).status, 408);
});

test('fairness: a process that admits nobody any more is not ready, and says why', async () => {
  const limits = { questionsPerS: 1_000, inFlight: 100, inFlightPerSubject: 100 };
  const admission = new Admission(limits, () => {});
  const ground = { ...running.service.ground, admission };
  assert.equal((await readinessOf(ground)).ready, true);
  // What it asked beside the first answer ends without help.
  const leave = await eventually(async () => admission.enter('who never leaves', 100));
  const { ready, checks } = await readinessOf(ground);
  const question = checks.find(({ name }) => name === 'question');
  assert.deepEqual(
    [ready, question?.ok, question?.detail],
    [false, false, 'more than 100 questions at once'],
  );
  // A buffer that is full for a moment does not count.
  setTimeout(leave, 100, 100);
  assert.equal((await readinessOf(ground)).ready, true);
});

test('fairness: the log knows nobody: no place, no driver, no token, no address', async () => {
  const secrets = ['52.2345678', '21.0123456', 'driver-4711', 'lat=', running.token.slice(-20), 'nearby'];
  const headers = await authorizationOf('quiet');
  await running.ask(`${NEARBY}&exclude=driver-4711`, { headers });
  await running.ask('/v1/drivers/driver-4711', { headers });
  await running.ask(`${NEARBY}&lat=52.2345678&x=1`, { headers });
  await running.post(BATCH, '{"points":[{"lat":52.2345678,"lon":', headers);
  await running.ask(NEARBY, { headers: { authorization: `Bearer ${running.token}x` } });
  const raw = await RawConnection.to(running.service.port);
  await raw.send(`GET ${NEARBY} HTTP/1.1\r\nno header\r\n\r\n`);
  await raw.closed();
  const text = logged.join('');
  assert.match(text, /listening/);
  for (const secret of secrets) assert.ok(!text.includes(secret), secret);
});

// The loss window, with the flusher stopped, compared with the times that a driver knows from outside; its alarm; and
// how both end when the flusher continues. And what --observe shows of such a stack.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { waitFor } from '@whereabouts/infra/local/server-process';
import { seededRandom } from '@whereabouts/infra/seeded-random';
import { signDevelopmentToken } from '@whereabouts/infra/service/development-token';
import { Dispatcher } from '../outside/dispatcher.js';
import { OwnStack } from '../stack/own-stack.js';
import { parseMetrics, total } from '../stack/scrape.js';
import { readSecret } from '../stack-file.js';
import { FleetSockets } from '../testing/fleet-sockets.js';
import { assertAllNamedMetricsAreTold, assertPrometheusSees } from '../testing/observed.js';
import { mapOf } from '../testing/places.js';

const BUDGET_MS = 3_000;
const DEADLINE_MS = 30_000;
const BERLIN = { lat: 52.52, lon: 13.405 };

let stack: OwnStack;
let fleet: FleetSockets;
let dispatcher: Dispatcher;
let token: string;

before(async () => {
  const settings = {
    FLUSH_INTERVAL_MS: '1000',
    LOSS_BUDGET_MS: String(BUDGET_MS),
    FRESHNESS_MS: '120000',
  };
  stack = await OwnStack.start(mapOf([BERLIN], 0.3, seededRandom(5)), settings, ['--observe']);
  fleet = new FleetSockets(stack.now);
  dispatcher = await Dispatcher.of(stack.now);
  const { issuer, audience } = stack.now.auth;
  token = await signDevelopmentToken({
    secret: readSecret(stack.now),
    issuer,
    audience: audience.query,
    subject: 'ops',
    scope: 'drivers:read',
    ttlS: 3600,
  });
});
after(async () => {
  await fleet?.close();
  await stack?.stop();
});

/** Of the partition that holds BERLIN; null where it is unknown. */
async function lossWindowMs(): Promise<number | null> {
  const headers = { Authorization: `Bearer ${token}` };
  const answer = await fetch(`${stack.now.query.url}/v1/partitions`, { headers });
  const { partitions } = (await answer.json()) as { partitions: { loss_window_ms: number | null }[] };
  return partitions[stack.map.partitionOf(BERLIN.lat, BERLIN.lon)]?.loss_window_ms ?? null;
}

async function alarm(): Promise<{ metric: number | undefined; verbose: string; status: number }> {
  const { ops } = stack.now.ingest;
  const metric = total(
    parseMetrics(await (await fetch(`${ops}/metrics`)).text()),
    'whereabouts_ingest_loss_budget_exceeded',
  );
  const ready = await fetch(`${ops}/readyz?verbose`);
  return { metric, verbose: await ready.text(), status: ready.status };
}

const clean = () =>
  waitFor('everything is in Postgres', DEADLINE_MS, async () => (await lossWindowMs()) === 0 || undefined);

test('with the flusher stopped the window is the age of the oldest unflushed position, never less', async () => {
  const driver = await fleet.connectOne('oldest');
  driver.send({ ...BERLIN, recorded_at_ms: Date.now() });
  await fleet.untilVisible(dispatcher);
  await clean();
  process.kill(stack.now.flusher.pid, 'SIGSTOP');
  try {
    const beforeMs = Date.now();
    driver.send({ ...BERLIN, recorded_at_ms: Date.now() });
    await fleet.untilSettled();
    const takenByMs = Date.now();
    // A later report of the same driver makes it no younger: the first may be lost as well.
    driver.send({ ...BERLIN, recorded_at_ms: Date.now() });
    await fleet.untilVisible(dispatcher);
    for (let i = 0; i < 20; i++) {
      const askedMs = Date.now();
      const windowMs = (await lossWindowMs()) as number;
      assert.ok(
        windowMs >= askedMs - takenByMs - 1,
        `${windowMs} ms, and it was taken ${askedMs - takenByMs} ms ago`,
      );
      assert.ok(windowMs <= Date.now() - beforeMs + 1, `${windowMs} ms`);
    }
    await waitFor('the alarm', DEADLINE_MS, async () => (await alarm()).metric === 1 || undefined);
    const { verbose, status } = await alarm();
    assert.equal(status, 200);
    assert.match(verbose, /loss/);
    assert.ok(((await lossWindowMs()) as number) >= BUDGET_MS);
  } finally {
    process.kill(stack.now.flusher.pid, 'SIGCONT');
  }
  await clean();
  await waitFor('the alarm ends', DEADLINE_MS, async () => (await alarm()).metric === 0 || undefined);
});

test('every metric that a dashboard, a rule or a page names is told by a service', async () => {
  await assertAllNamedMetricsAreTold(stack.now);
});

test('--observe: Prometheus sees the stack and can answer every query, or it is said how to install it', async (t) => {
  const { prometheus, grafana } = stack.now.observe ?? {};
  const said = stack.said('observe').join('\n');
  if (!prometheus) {
    assert.match(said, /Prometheus is not on the PATH.*apt-get install prometheus/);
    t.skip('there is no Prometheus (Debian: apt-get install prometheus)');
    return;
  }
  assert.ok(said.includes(prometheus.url));
  assert.match(said, grafana ? /Grafana: http/ : /Grafana was not found.*Install it/);
  await assertPrometheusSees(prometheus.url);
});

// Postgres goes away under load, comes back, and comes back as an older copy; two flushers work at once. Whatever
// happens to the archive, in the end it has the newest position of every driver, row by row, without any request for
// it.
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { freePort } from '@whereabouts/infra/local/ports';
import { waitFor } from '@whereabouts/infra/local/server-process';
import { seededRandom } from '@whereabouts/infra/seeded-random';
import { root } from '../home.js';
import { archiveDifferences, untilArchived } from '../outside/archive-rows.js';
import { Dispatcher } from '../outside/dispatcher.js';
import { OwnStack } from '../stack/own-stack.js';
import { parseMetrics, total } from '../stack/scrape.js';
import { stackSecrets } from '../stack/secrets.js';
import { flusherEnv } from '../stack/service-env.js';
import { ArchiveControl } from '../testing/archive-control.js';
import { FleetSockets } from '../testing/fleet-sockets.js';
import { around, mapOf } from '../testing/places.js';

const SEED = 7;
const DRIVERS = 300;
const REPORT_EVERY_MS = 1_000;
const AWAY_MS = 20_000;
const SILENT_MS = 8_000;
const CATCH_UP_MS = 30_000;
const LIMA = { lat: -12.05, lon: -77.04 };
// No driver is refused because the machine is busy.
const SETTINGS = { FLUSH_INTERVAL_MS: '1000', LOG_LEVEL: 'info', HOLD_NACK_AFTER_MS: '9000' };

let stack: OwnStack;
let fleet: FleetSockets;
let dispatcher: Dispatcher;
let archive: ArchiveControl;
let url: string;
let second: ChildProcess | undefined;
const random = seededRandom(SEED);
const driverIds = Array.from({ length: DRIVERS }, (_, i) => `lima-${i}`);

before(async () => {
  stack = await OwnStack.start(mapOf([LIMA], 0.3, random), SETTINGS);
  url = stack.now.postgres.url;
  archive = await ArchiveControl.takeOver(stack);
  fleet = new FleetSockets(stack.now);
  dispatcher = await Dispatcher.of(stack.now);
  await fleet.connect(driverIds);
});
after(async () => {
  await fleet?.close();
  second?.kill('SIGKILL');
  await stack?.stop(async () => archive?.stop());
});

function reportFrom(ids: readonly string[]): void {
  for (const driverId of ids) {
    fleet.driver(driverId).send({
      recorded_at_ms: Date.now(),
      ...around(LIMA, 0.2, random),
      services: Math.floor(random.between(0, 65_536)),
    });
  }
}

/** Each of them reports every second; returns how to stop. */
function load(ids: readonly string[]): () => void {
  const timers = ids.map((driverId, i) => {
    const begin = setTimeout(
      () => {
        timers[i] = setInterval(() => reportFrom([driverId]), REPORT_EVERY_MS);
      },
      random.between(0, REPORT_EVERY_MS),
    );
    return begin;
  });
  return () => {
    for (const timer of timers) clearTimeout(timer);
  };
}

async function assertRight(what: string): Promise<void> {
  const tookMs = await untilArchived(url, fleet.truth, stack.map, CATCH_UP_MS);
  console.log(`${what}: ${fleet.truth.newest.size} rows are right after ${Math.round(tookMs)} ms`);
}

const counter = async (ops: string, name: string) =>
  total(parseMetrics(await (await fetch(`${ops}/metrics`)).text()), `whereabouts_flusher_${name}`) ?? 0;

test('Postgres away for 20 s under load: drivers and callers notice nothing, then it catches up', async () => {
  reportFrom(driverIds);
  await fleet.untilVisible(dispatcher);
  await assertRight('before');
  await archive.stop();
  archive.keepCopy();
  // Half of them fall silent before it is back: their last reports came while it was away.
  const falling = load(driverIds.slice(0, DRIVERS / 2));
  const going = load(driverIds.slice(DRIVERS / 2));
  const backAt = performance.now() + AWAY_MS;
  setTimeout(falling, AWAY_MS - SILENT_MS);
  const acknowledged = fleet.truth.acknowledgements;
  while (performance.now() < backAt) {
    const { complete, drivers } = await dispatcher.nearby({ ...LIMA, radius_m: 50_000, limit: 100 });
    assert.ok(!complete || drivers.length === 100, 'answers go on');
    await new Promise((resolve) => setTimeout(resolve, 250));
  }
  assert.ok(
    fleet.truth.acknowledgements - acknowledged > (DRIVERS * AWAY_MS) / REPORT_EVERY_MS / 2,
    'all were taken',
  );
  await archive.start();
  going();
  await fleet.untilSettled();
  assert.deepEqual(fleet.refusals(), {});
  await assertRight('after 20 s without Postgres');
});

test('Postgres restored from an older copy is filled again by itself, also with those who are silent', async () => {
  const rewinds = await counter(stack.now.flusher.ops, 'rewinds_total');
  await archive.stop();
  archive.putBackCopy();
  await archive.start();
  assert.ok((await archiveDifferences(url, fleet.truth, stack.map)).length > 0, 'it was older');
  // A few continue; the others are silent, and their rows have to come from the cache.
  reportFrom(driverIds.slice(0, 20));
  await fleet.untilSettled();
  await assertRight('after the restore');
  assert.ok((await counter(stack.now.flusher.ops, 'rewinds_total')) > rewinds);
});

/** A second one beside the stack's own, with the same environment. */
async function startSecondFlusher(): Promise<string> {
  const { redis, partitionMapFile } = stack.now;
  const flusherOps = await freePort();
  const env = flusherEnv({
    secrets: stackSecrets(stack.home),
    redisUrls: redis.map(({ host, port }) => `redis://${host}:${port}`),
    partitionMapFile,
    databaseUrl: url,
    ports: { flusherOps } as Parameters<typeof flusherEnv>[0]['ports'],
  });
  const main = join(root, 'flusher', 'dist', 'main.js');
  const child = spawn(process.execPath, [main], {
    env: { ...env, ...SETTINGS },
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
  second = child;
  const ops = `http://127.0.0.1:${flusherOps}`;
  await waitFor('the second flusher is ready', 20_000, async () => {
    assert.equal(child.exitCode, null);
    return (await fetch(`${ops}/readyz`)).ok || undefined;
  });
  return ops;
}

test('two flushers at once share the work, and one that is killed leaves nothing undone', async () => {
  const both = [stack.now.flusher.ops, await startSecondFlusher()];
  const written = () => Promise.all(both.map((ops) => counter(ops, 'rows_written_total')));
  const before = await written();
  const stop = load(driverIds);
  try {
    await waitFor('both have written', 30_000, async () => {
      const now = await written();
      return now.every((count, i) => count - (before[i] ?? 0) > DRIVERS) || undefined;
    });
  } catch (error) {
    throw new Error(`${before} rows were written before, ${await written()} now`, { cause: error });
  } finally {
    stop();
  }
  second?.kill('SIGKILL');
  await waitFor('it is gone', 30_000, () => second?.signalCode === 'SIGKILL' || undefined);
  reportFrom(driverIds);
  await fleet.untilSettled();
  await assertRight('after two flushers');
});

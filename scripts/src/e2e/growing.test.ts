// A master joins the running cluster, takes its part of the curve and leaves again, under load: every failed request
// may be retried and then succeeds, no driver is missing from an answer, no position is lost.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import { SLOT_COUNT } from '@whereabouts/infra/hash-slot';
import { waitFor } from '@whereabouts/infra/local/server-process';
import { seededRandom } from '@whereabouts/infra/seeded-random';
import { clusterNodes, ownersOf, replicasOf } from '../drill/cluster-view.js';
import { partitionRows } from '../drill/regions.js';
import { root } from '../home.js';
import { untilArchived } from '../outside/archive-rows.js';
import { Dispatcher } from '../outside/dispatcher.js';
import { OwnStack } from '../stack/own-stack.js';
import { FleetSockets } from '../testing/fleet-sockets.js';
import { around, mapOf, type Place } from '../testing/places.js';

const SEED = 23;
const DRIVERS = 90;
const REPORT_EVERY_MS = 1_000;
const DEADLINE_MS = 30_000;
const RETRIES_MS = 5_000;
const QUITO = { lat: -0.18, lon: -78.47 };
const ALL = { ...QUITO, radius_m: 50_000, limit: 100 };

let stack: OwnStack;
let fleet: FleetSockets;
let dispatcher: Dispatcher;
let stopLoad = () => {};
const random = seededRandom(SEED);
const places = new Map<string, Place>();

before(async () => {
  const map = mapOf([QUITO], 0.2, random);
  stack = await OwnStack.start(map, { FLUSH_INTERVAL_MS: '1000' });
  dispatcher = await Dispatcher.of(stack.now);
  fleet = new FleetSockets(stack.now);
  for (let i = 0; i < DRIVERS; i++) places.set(`quito-${i}`, around(QUITO, 0.1, random));
  await fleet.connect(places.keys());
  stopLoad = load();
  await waitFor('all are listed', DEADLINE_MS, async () => {
    const { complete, drivers } = await dispatcher.nearby(ALL);
    return (complete && drivers.length === DRIVERS) || undefined;
  });
});
after(async () => {
  stopLoad();
  await fleet?.close();
  await stack?.stop();
});

function load(): () => void {
  const report = () => {
    for (const [id, place] of places) fleet.driver(id).send({ recorded_at_ms: Date.now(), ...place });
  };
  report();
  const timer = setInterval(report, REPORT_EVERY_MS);
  return () => clearInterval(timer);
}

async function plan(...args: string[]) {
  const script = join(root, 'scripts', 'dist', 'plan.js');
  const env = { ...process.env, WHEREABOUTS_HOME: stack.home };
  const { stdout } = await promisify(execFile)(process.execPath, [script, '--json', ...args], { env });
  return JSON.parse(stdout) as {
    moves: { from: string; to: string; count: number }[];
    before: { node: string; slots: number; partitions: number; drivers: number }[];
    after: { node: string; slots: number; partitions: number; drivers: number }[];
    commands: string[];
  };
}

/**
 * Polls without a pause: no driver is ever missing from an answer, and one asked for by id is found, at once or on
 * retry.
 */
async function watched<T>(work: Promise<T>): Promise<T> {
  let working = true;
  const settle = () => {
    working = false;
  };
  work.then(settle, settle);
  const counts = { asked: 0, incomplete: 0, retried: 0 };
  const ids = [...places.keys()];
  while (working) {
    const { complete, missing, drivers } = await dispatcher.nearby(ALL);
    assert.equal(drivers.length, DRIVERS, `missing: ${JSON.stringify(missing)}`);
    counts.asked++;
    if (!complete) counts.incomplete++;
    const id = ids[counts.asked % ids.length] as string;
    await waitFor(id, RETRIES_MS, async () => {
      const { status } = await dispatcher.byId(id);
      assert.ok(status === 200 || status === 503, `${id}: ${status}`);
      if (status === 503) counts.retried++;
      return status === 200 || undefined;
    });
  }
  console.log(counts);
  return work;
}

async function assertNothingLost(): Promise<void> {
  stopLoad();
  await fleet.untilSettled();
  for (const { nacks } of fleet.byId.values()) for (const nack of nacks) assert.ok(nack.retryable, nack.code);
  console.log('refused, to be tried again:', fleet.refusals());
  await untilArchived(stack.now.postgres.url, fleet.truth, stack.map, DEADLINE_MS);
  stopLoad = load();
}

test('it says what would move, and moves nothing', async () => {
  const before = await clusterNodes(stack.now);
  const { moves, after: shares, commands } = await plan('--add-master', '--at', '10.0.0.9:6379');
  assert.equal(shares.length, 4);
  assert.deepEqual(
    shares.map(({ slots }) => slots),
    [SLOT_COUNT / 4, SLOT_COUNT / 4, SLOT_COUNT / 4, SLOT_COUNT / 4],
  );
  assert.deepEqual(
    shares.map(({ partitions }) => partitions),
    [16, 16, 16, 16],
  );
  assert.equal(
    shares.reduce((sum, { drivers }) => sum + drivers, 0),
    DRIVERS,
  );
  assert.equal(commands.filter((line) => line.startsWith('for slot in')).length, moves.length);
  assert.deepEqual(ownersOf(await clusterNodes(stack.now)).length, ownersOf(before).length);
});

test('a master joins under load, with a replica, and takes one stretch', async () => {
  const { after: shares } = await watched(plan('--add-master', '--apply'));
  const nodes = await clusterNodes(stack.now);
  const owners = ownersOf(nodes);
  assert.equal(owners.length, 4);
  for (const owner of owners) {
    assert.equal(owner.slots.length, 1, `${owner.address}: one stretch`);
    assert.equal(replicasOf(nodes, owner).length, 1, `${owner.address}: a replica`);
    const share = shares.find(({ node }) => node === owner.address);
    const [[first, last]] = owner.slots as [[number, number]];
    assert.equal(last - first + 1, share?.slots);
  }
  const rows = await partitionRows(stack.now);
  for (const { node, partitions } of shares) {
    assert.equal(rows.filter((row) => row.node === node).length, partitions, node);
  }
  await assertNothingLost();
});

test('and leaves again under load: the shares are as they were', async () => {
  const grown = (await clusterNodes(stack.now)).find(
    ({ address, slots }) =>
      slots.length > 0 && !stack.now.redis.some(({ port }) => address.endsWith(`:${port}`)),
  );
  assert.ok(grown);
  await assert.rejects(plan('--remove-master', '127.0.0.1:1', '--apply'), /takes away only/);
  await watched(plan('--remove-master', grown.address, '--apply'));
  const nodes = await clusterNodes(stack.now);
  assert.equal(nodes.length, stack.now.redis.length);
  assert.deepEqual(
    ownersOf(nodes)
      .map(({ slots }) => slots)
      .sort(([a], [b]) => Number(a?.[0]) - Number(b?.[0])),
    [[[0, 5460]], [[5461, 10921]], [[10922, 16383]]],
  );
  await assertNothingLost();
});

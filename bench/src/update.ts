// The cost of a position for the store: CPU of the Redis master for each position that the product's own LogStore
// appends, compaction included, over that of Tile38 for the same updates, sent by the same client in pipelines of as
// many. And the cost of a follower's poll.

import { buildPartitionMap } from '@whereabouts/infra/partition-map';
import type { Position } from '@whereabouts/infra/position';
import { BODY_BYTES, type EntryId, encodeBody } from '@whereabouts/infra/record';
import { median } from '@whereabouts/scripts/median';
import {
  alternate,
  type Bench,
  type BenchContext,
  type BenchOutcome,
  type Figure,
  type Table,
} from './bench.js';
import { cityFleet } from './load/places.js';
import { type LoopCost, measureLoop } from './stores/closed-loop.js';
import { Feed, latOf, lonOf } from './stores/feed.js';
import { byPartition, positionOf, StoreUnderTest } from './stores/store-under-test.js';
import { startTile38, type Tile38, tile38Note } from './stores/tile38.js';

const DEFAULTS = { drivers: 100_000, seconds: 4, rounds: 3 };
const WARM_UP_S = 1;
const SEED = 1;
/** Entries of one answer, at most. */
const POLLED = 64;
/** Of each partition, in every pipeline: 16 is judged, the others are shown beside it. */
const BATCHES = [16, 1, 4, 64];
const JUDGED_BATCH = 16;
const GOAL = { atMost: 0.5 };
/** Longer than the others' turns take, so that no driver expires before Tile38's own turn. */
const TILE38_TTL_S = 30;

type SideName = 'store' | 'tile38' | 'plain';
/** Sends one pipeline: the batches of all partitions. */
type Send = (batches: readonly Position[][]) => Promise<unknown>;
type Costs = Partial<Record<SideName, LoopCost[]>>;

interface Side {
  pid: number;
  send: Send;
}

/** One partition after the other is compacted, so that as much leaves the log as came into it. */
function storeSide(own: StoreUnderTest): Side {
  let turn = 0;
  const send: Send = (batches) =>
    Promise.all([
      ...batches.map((batch, partition) => own.append(partition, batch)),
      own.compact(turn++ % batches.length),
    ]);
  return { pid: own.pids[0] as number, send };
}

const tile38Side = (tile38: Tile38): Side => ({
  pid: tile38.pid,
  send: (batches) =>
    Promise.all(
      batches.flat().map(async (position) => {
        const at = ['POINT', latOf(position), lonOf(position)];
        const speed = ['FIELD', 'speed', position.speedCmps / 100];
        const args = ['SET', 'fleet', position.driverId, ...speed, 'EX', TILE38_TTL_S, ...at];
        const reply = String(await tile38.call(...args));
        if (reply !== 'OK') throw new Error(`Tile38 answered ${reply}`);
      }),
    ),
});

/** What a search inside Redis would need: a place and a record of each driver, without order or revisions. */
async function plainSide(own: StoreUnderTest): Promise<Side> {
  const node = await own.nodeOf(0);
  const { map } = own.store;
  const send: Send = (batches) =>
    Promise.all(
      batches.flatMap((batch, partition) => {
        const tag = `{${map.tagOf(partition)}}`;
        const points = batch.flatMap((position) => [lonOf(position), latOf(position), position.driverId]);
        const records = batch.flatMap((position) => [position.driverId, bodyOf(position)]);
        return [
          node.call(['GEOADD', `plain:geo${tag}`, ...points]),
          node.call(['HSET', `plain:records${tag}`, ...records]),
        ];
      }),
    );
  return { pid: own.pids[0] as number, send };
}

function bodyOf(position: Position): Buffer {
  const body = Buffer.alloc(BODY_BYTES);
  encodeBody(position, body, 0);
  return body;
}

interface Asked {
  drivers: number;
  seconds: number;
  rounds: number;
}

async function measureBatch(
  batch: number,
  { seconds, rounds }: Asked,
  feed: Feed,
  sides: Partial<Record<SideName, Side>>,
): Promise<Costs> {
  const costs: Costs = {};
  const measured = Object.entries(sides).map(([name, { pid, send }]) => {
    const measure = async () => {
      const call = async () => {
        const batches = feed.batches(batch, Date.now());
        await send(batches);
        return batches.reduce((sum, { length }) => sum + length, 0);
      };
      const cost = await measureLoop({ pids: [pid], concurrency: 1, warmUpS: WARM_UP_S, seconds, call });
      costs[name as SideName] = [...(costs[name as SideName] ?? []), cost];
    };
    return [name, measure] as const;
  });
  await alternate(rounds, Object.fromEntries(measured));
  return costs;
}

const serverUs = (costs: readonly LoopCost[] = []) => costs.map((cost) => cost.serverUs);
const medianOf = (costs: readonly LoopCost[] | undefined, part: 'serverUs' | 'clientUs') =>
  costs ? median(costs.map((cost) => cost[part])) : 'skipped';

function figuresOf(batch: number, { store, tile38, plain }: Costs): Figure[] {
  const name = `CPU of Redis for each update, ${batch} in a batch`;
  const measured = serverUs(store);
  const overTile38: Figure = {
    name,
    unit: 'us',
    measured,
    baseline: tile38 ? { name: 'Tile38 SET', measured: serverUs(tile38) } : null,
    goal: tile38 && batch === JUDGED_BATCH ? GOAL : null,
  };
  const baseline = { name: 'plain GEOADD and HSET', measured: serverUs(plain) };
  return [overTile38, { name: `${name}, over plain commands`, unit: 'us', measured, baseline, goal: null }];
}

function tableOf(all: ReadonlyMap<number, Costs>): Table {
  const rows = [...all].map(([batch, { store, tile38, plain }]) => [
    batch,
    ...[store, tile38, plain].flatMap((costs) => [medianOf(costs, 'serverUs'), medianOf(costs, 'clientUs')]),
  ]);
  const sides = ['live store', 'Tile38', 'plain'];
  const heads = ['in a batch', ...sides.flatMap((side) => [`${side}: server us`, 'client us'])];
  return {
    title: 'CPU for each update, of the server and of the client process',
    heads,
    rows: rows.map((row) =>
      row.map((cell) => (typeof cell === 'number' ? Number(cell.toPrecision(3)) : cell)),
    ),
  };
}

/** Polls all partitions in one turn, as a follower does; they have nothing new. */
async function measurePolls({ store, pids }: StoreUnderTest, { seconds, rounds }: Asked): Promise<number[]> {
  const partitions = Array.from({ length: store.map.partitions }, (_, partition) => partition);
  const tips = await Promise.all(
    partitions.map(async (partition): Promise<EntryId> => (await store.counts(partition)).state),
  );
  const call = async () => {
    const pages = await Promise.all(tips.map((tip, partition) => store.entries(partition, tip, POLLED)));
    return pages.length;
  };
  const measured: number[] = [];
  for (let round = 0; round < rounds; round++) {
    measured.push((await measureLoop({ pids, concurrency: 1, warmUpS: WARM_UP_S, seconds, call })).serverUs);
  }
  return measured;
}

function outcomeOf(
  asked: Asked,
  all: ReadonlyMap<number, Costs>,
  polls: number[],
  notes: string[],
): BenchOutcome {
  const { drivers, seconds, rounds } = asked;
  const costs: Record<string, number> = {};
  for (const [batch, { store }] of all) {
    costs[`redis_us_per_update_batch_${batch}`] = median(serverUs(store));
    costs[`store_client_us_per_update_batch_${batch}`] = medianOf(store, 'clientUs') as number;
  }
  costs.redis_us_per_poll = median(polls);
  const poll = { name: 'CPU of Redis for a question for news, with none', unit: 'us', measured: polls };
  return {
    workload: `${drivers.toLocaleString('en')} drivers of one city (seed ${SEED}) in 64 partitions on one Redis master with AOF everysec, each some metres further at every report; one pipeline at a time, which holds one batch of each partition; ${seconds} s after ${WARM_UP_S} s to warm up, ${rounds} rounds`,
    figures: [
      ...[...all].flatMap(([batch, of]) => figuresOf(batch, of)),
      { ...poll, baseline: null, goal: null },
    ],
    tables: [tableOf(all)],
    notes: [
      'Each side sends as fast as it is answered, through the same client class over ioredis, with as many updates in a pipeline. The server CPU is user and system time of the server process and of its ended children (Redis rewrites its append-only file in one).',
      'Tile38 keeps its append-only file as it defaults; SET fleet ID FIELD speed N EX 30 POINT lat lon. It stores place and speed, and can be asked for who is near; the live store keeps the whole record in order, and query-api pays for the index (bench cost).',
      'The live store compacts one partition in each pipeline, whatever the age of its entries.',
      ...notes,
    ],
    costs,
  };
}

async function run(context: BenchContext): Promise<BenchOutcome> {
  const asked = {
    drivers: context.drivers ?? DEFAULTS.drivers,
    seconds: context.seconds ?? DEFAULTS.seconds,
    rounds: context.rounds ?? DEFAULTS.rounds,
  };
  const places = cityFleet(asked.drivers, SEED);
  const map = buildPartitionMap(places);
  const own = await StoreUnderTest.start(map, 1);
  let tile38: Tile38 | null = null;
  try {
    tile38 = await startTile38(context.say);
    const fleet = places.map((place) => positionOf(place, 'available', Date.now()));
    const feed = new Feed(byPartition(map, fleet));
    const sides = {
      store: storeSide(own),
      ...(tile38 ? { tile38: tile38Side(tile38) } : {}),
      plain: await plainSide(own),
    };
    // Every driver is stored everywhere before the first measurement, so only updates are measured.
    for (const { send } of Object.values(sides)) await sendAll(feed, asked.drivers, send);
    const all = new Map<number, Costs>();
    for (const batch of BATCHES) {
      context.say(`update: ${batch} in a batch, ${asked.rounds} rounds`);
      all.set(batch, await measureBatch(batch, asked, feed, sides));
    }
    context.say('update: questions for news');
    return outcomeOf(asked, all, await measurePolls(own, asked), tile38Note(tile38));
  } finally {
    await tile38?.stop();
    await own.stop();
  }
}

/** A partition has at most one and a half fair shares of the fleet; after this many rounds every driver had a turn. */
async function sendAll(feed: Feed, drivers: number, send: Send): Promise<void> {
  for (let sent = 0; sent < 2 * drivers; ) {
    const batches = feed.batches(JUDGED_BATCH, Date.now());
    await send(batches);
    sent += batches.reduce((sum, { length }) => sum + length, 0);
  }
}

export const UPDATE: Bench = {
  about: 'CPU of the store for each position and each poll, over Tile38 and over plain commands',
  run,
};

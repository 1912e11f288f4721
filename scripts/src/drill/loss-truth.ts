// What a failover loses, taken from outside: every node that may be the region's next owner is read directly, again and
// again, and held against what the drivers had been told when the old owner was gone.
//
// The next owner of a partition is the process that begins the next reign: the partition's meta names it, and which
// reign came before. What counts is the last look at that process before it wrote. Whoever owns the partition later,
// after another failover, does not matter.
import { setTimeout as sleep } from 'node:timers/promises';
import type { ReaderConnection } from '@whereabouts/infra/dev/reader-connection';
import { partitionKeys } from '@whereabouts/infra/live-store/keys';
import { decodeRecord } from '@whereabouts/infra/position-record';
import type { Stack } from '../stack-file.js';
import { openReplica, withNode } from './cluster-view.js';
import type { DrillDriver } from './drill-driver.js';
import type { Load } from './load.js';
import { type Ack, lastOfOldMaster } from './observations.js';
import type { Region } from './regions.js';
import type { LostCount } from './report.js';

/** A node may be frozen for a while. */
const PATIENCE_MS = 20_000;
const TRY_AGAIN_MS = 20;
/** Until the fault; from then on without a pause. */
const LOOK_EVERY_MS = 50;

interface Order {
  session: number;
  recordedAtMs: number;
}

type ToldOrders = ReadonlyMap<string, Order>;

/** `owner@since`, as the Lua library names a reign; of the text in the meta also which came before. */
interface Reign {
  owner: string;
  name: string;
  previous: string;
}

interface Group {
  positions: string;
  meta: string;
  partition: number;
  /** Under which it was written before the fault. */
  reign: string;
  drivers: DrillDriver[];
}

export interface Lost {
  all: LostCount;
  /** Of those, what was acknowledged as held by every replica. */
  replicated: LostCount;
}

function parseReign(text: string | null): Reign {
  const [, , owner = '', since = '', , previous = ''] = (text ?? '').split(' ');
  return { owner, name: `${owner}@${since}`, previous };
}

/** What one node had of each partition when it was last seen before a new reign was there. */
class Watched {
  readonly records = new Map<Group, readonly (Buffer | null)[]>();
  /** Whose next reign this very process began. */
  readonly began = new Set<Group>();
  readonly #over = new Set<Group>();
  #runId = '';

  constructor(
    readonly address: string,
    readonly groups: readonly Group[],
  ) {}

  /** Before the fault already: a node that is frozen by then would let nobody in before it is the owner. */
  async watch(stack: Stack, isFault: () => boolean, isOver: () => boolean): Promise<void> {
    while (!isOver()) {
      let node: ReaderConnection | undefined;
      try {
        node = await openReplica(stack, this.address, PATIENCE_MS);
        await this.#recognize(node);
        while (!isOver()) {
          await this.#look(node);
          if (!isFault()) await sleep(LOOK_EVERY_MS);
        }
      } catch {
        await sleep(TRY_AGAIN_MS); // gone, or not up yet
      } finally {
        node?.disconnect();
      }
    }
  }

  /** Another process in the node's place may have other data; of the same one all stays known. */
  async #recognize(node: ReaderConnection): Promise<void> {
    const runId = /run_id:(\w+)/.exec(await node.info('server'))?.[1] ?? '';
    if (runId !== this.#runId) {
      for (const group of this.groups) if (!this.#over.has(group)) this.records.delete(group);
    }
    this.#runId = runId;
  }

  async #look(node: ReaderConnection): Promise<void> {
    const groups = this.groups.filter((group) => !this.#over.has(group));
    const pipeline = node.pipeline();
    for (const { positions, meta, drivers } of groups) {
      pipeline.hmgetBuffer(positions, ...drivers.map(({ driverId }) => driverId));
      // After the records: if the old reign stands now, it stood when they were read.
      pipeline.hget(meta, 'reign');
    }
    const replies = (await pipeline.exec()) ?? [];
    for (const [i, group] of groups.entries()) {
      const [failed, found] = replies[2 * i] as [Error | null, (Buffer | null)[]];
      const [failedToo, text] = replies[2 * i + 1] as [Error | null, string | null];
      if (failed ?? failedToo) throw failed ?? failedToo;
      const reign = parseReign(text);
      if (text === null || reign.name === group.reign) this.records.set(group, found);
      else {
        this.#over.add(group);
        if (reign.owner === this.#runId && reign.previous === group.reign) this.began.add(group);
      }
    }
    if (groups.length === 0) await sleep(TRY_AGAIN_MS);
  }
}

export class LossTruth {
  readonly #watched: Watched[];
  readonly #groups: readonly Group[];
  readonly #watching: Promise<void>;
  #isFault = false;
  #isOver = false;

  private constructor(stack: Stack, groups: readonly Group[], candidates: readonly string[]) {
    this.#groups = groups;
    this.#watched = candidates.map((address) => new Watched(address, groups));
    const isFault = () => this.#isFault;
    const isOver = () => this.#isOver;
    this.#watching = Promise.all(this.#watched.map((node) => node.watch(stack, isFault, isOver))).then(
      () => {},
    );
  }

  /** `candidates`: the region's master and its replicas. They are watched until `stop`. */
  static async of(
    stack: Stack,
    candidates: readonly string[],
    load: Load,
    region: Region,
  ): Promise<LossTruth> {
    const groups = region.partitions
      .map(({ partition, tag }) => ({
        ...partitionKeys(tag),
        partition,
        reign: '',
        drivers: load.drivers.filter(({ spot }) => spot.partition === partition),
      }))
      .filter(({ drivers }) => drivers.length > 0);
    await withNode(stack, candidates[0] as string, async (master) => {
      for (const group of groups) group.reign = parseReign(await master.hget(group.meta, 'reign')).name;
    });
    return new LossTruth(stack, groups, candidates);
  }

  fault(): void {
    this.#isFault = true;
  }

  stop(): Promise<void> {
    this.#isOver = true;
    return this.#watching;
  }

  /** Null: not seen. */
  get nextOwner(): string | null {
    return this.#watched.find(({ began }) => began.size > 0)?.address ?? null;
  }

  /** `acks`: all of the region. A text says why it was not measured. */
  lost(acks: readonly Ack[], faultAtMs: number): Lost | string {
    const { surelyMs, possiblyMs } = lastOfOldMaster(acks, faultAtMs);
    const unseen = this.#groups.filter((group) => this.#lookAt(group) === undefined);
    if (unseen.length > 0) {
      const list = unseen.map(({ partition }) => partition).join(', ');
      return `the next owner of ${unseen.length} partitions was not seen before it wrote: ${list}`;
    }
    const replicated = acks.filter(({ durability }) => durability === 'replicated');
    const count = (told: ToldOrders) =>
      this.#groups.reduce((sum, group) => sum + lacking(group, this.#lookAt(group) ?? [], told), 0);
    const between = (of: readonly Ack[]): LostCount => ({
      least: count(newestTold(of, surelyMs)),
      most: count(newestTold(of, possiblyMs)),
    });
    return { all: between(acks), replicated: between(replicated) };
  }

  #lookAt(group: Group): readonly (Buffer | null)[] | undefined {
    return this.#watched.find(({ began }) => began.has(group))?.records.get(group);
  }
}

/** Of each driver the newest position that it had been told was taken, by then. */
function newestTold(acks: readonly Ack[], untilMs: number): ToldOrders {
  const newest = new Map<string, Order>();
  for (const { driverId, ackAtMs, session, recordedAtMs } of acks) {
    if (ackAtMs > untilMs) continue;
    const held = newest.get(driverId);
    const order = { session, recordedAtMs };
    if (held === undefined || isOlder(held, order)) newest.set(driverId, order);
  }
  return newest;
}

function lacking({ drivers }: Group, records: readonly (Buffer | null)[], told: ToldOrders): number {
  return drivers.filter(({ driverId }, i) => {
    const newest = told.get(driverId);
    const record = records[i] ?? null;
    return newest !== undefined && (record === null || isOlder(decodeRecord(driverId, record), newest));
  }).length;
}

const isOlder = (a: Order, b: Order): boolean =>
  a.session < b.session || (a.session === b.session && a.recordedAtMs < b.recordedAtMs);

// What a failover loses, taken from outside: every node that may be the region's next owner is read directly, again and
// again, and held against what the drivers had been told at the fault. What counts is the last look before somebody
// wrote under a new reign, on the node that is the owner in the end.
import { setTimeout as sleep } from 'node:timers/promises';
import type { ReaderConnection } from '@whereabouts/infra/dev/reader-connection';
import { partitionKeys } from '@whereabouts/infra/live-store/keys';
import { decodeRecord } from '@whereabouts/infra/position-record';
import type { Stack } from '../stack-file.js';
import { openReplica, withNode } from './cluster-view.js';
import type { DrillDriver } from './drill-driver.js';
import type { Load } from './load.js';
import { IN_FLIGHT_MS } from './observations.js';
import type { Region } from './regions.js';

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

interface Group {
  positions: string;
  meta: string;
  /** Under which it was written before the fault. */
  reign: string;
  drivers: DrillDriver[];
}

export interface Lost {
  lost: number;
  /** Of those, what was acknowledged as held by every replica. */
  replicated: number;
}

/** What one node had of each partition when it was last seen before a new reign wrote there. */
class Watched {
  readonly records = new Map<Group, readonly (Buffer | null)[]>();
  readonly #over = new Set<Group>();

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
        while (!isOver()) {
          await this.#look(node);
          if (!isFault()) await sleep(LOOK_EVERY_MS);
        }
      } catch {
        // It is gone; another process may come back in its place, with other data.
        for (const group of this.groups) if (!this.#over.has(group)) this.records.delete(group);
        await sleep(TRY_AGAIN_MS);
      } finally {
        node?.disconnect();
      }
    }
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
      const [, reign] = replies[2 * i + 1] as [Error | null, string | null];
      if (failed) throw failed;
      if (reign !== null && reign !== group.reign) this.#over.add(group);
      else this.records.set(group, found);
    }
    if (groups.length === 0) await sleep(TRY_AGAIN_MS);
  }
}

export class LossTruth {
  readonly #load: Load;
  readonly #watched: Watched[];
  /** As of the fault: what a new owner acknowledges later was never lost. */
  #told: { all: ToldOrders; replicated: ToldOrders } | null = null;
  readonly #watching: Promise<void>;
  #isFault = false;
  #isOver = false;

  private constructor(stack: Stack, load: Load, watched: Watched[]) {
    this.#load = load;
    this.#watched = watched;
    const isFault = () => this.#isFault;
    const isOver = () => this.#isOver;
    this.#watching = Promise.all(watched.map((node) => node.watch(stack, isFault, isOver))).then(() => {});
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
        reign: '',
        drivers: load.drivers.filter(({ spot }) => spot.partition === partition),
      }))
      .filter(({ drivers }) => drivers.length > 0);
    await withNode(stack, candidates[0] as string, async (master) => {
      for (const group of groups) group.reign = (await master.hget(group.meta, 'reign')) ?? '';
    });
    return new LossTruth(
      stack,
      load,
      candidates.map((address) => new Watched(address, groups)),
    );
  }

  fault(): void {
    this.#isFault = true;
    const { truth, replicated } = this.#load;
    setTimeout(() => {
      this.#told = { all: new Map(truth.newest), replicated: new Map(replicated.newest) };
    }, IN_FLIGHT_MS);
  }

  stop(): Promise<void> {
    this.#isOver = true;
    return this.#watching;
  }

  /** What this node, the owner in the end, lacked at the first write of a new reign; null: it was not seen. */
  lostBy(owner: string): Lost | null {
    const node = this.#watched.find(({ address }) => address === owner);
    if (node === undefined || this.#told === null || node.records.size < node.groups.length) return null;
    const sum: Lost = { lost: 0, replicated: 0 };
    for (const [group, records] of node.records) {
      sum.lost += lacking(group, records, this.#told.all);
      sum.replicated += lacking(group, records, this.#told.replicated);
    }
    return sum;
  }
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

// Measures the loss of a failover from outside. It reads the next owner of each partition directly, and compares what
// that has of the broken term with what was acknowledged to the drivers when the old owner disappeared.
//
//  An entry's id begins with the term it was written in, so what the next owner took over is distinct from what it has
// written since. The next owner is the process whose term follows the broken one; later owners, after another failover,
// do not matter.
import { setTimeout as sleep } from 'node:timers/promises';
import { logKeys } from '@whereabouts/infra/live-store/log-keys';
import type { ReaderConnection } from '@whereabouts/infra/local/reader-connection';
import { waitFor } from '@whereabouts/infra/local/server-process';
import { openReplica, type Reader, withNode } from './cluster-view.js';
import type { DrillDriver } from './drill-driver.js';
import { isOlder, newestUpTo, type Order } from './log-reading.js';
import { type Ack, lastOfOldMaster } from './observations.js';
import type { LostCount } from './report.js';

/** A node may be frozen for a while. */
const PATIENCE_MS = 20_000;
const TRY_AGAIN_MS = 100;
const LOOK_EVERY_MS = 100;
/** Reading takes time that others need during the failover itself; compaction leaves 10 s for it. */
const READ_AFTER_MS = 1_000;
const READ_DEADLINE_MS = 5_000;

type Driver = Pick<DrillDriver, 'driverId' | 'spot'>;
type Orders = ReadonlyMap<string, Order>;

interface Term {
  owner: string;
  number: number;
  previous: number;
}

interface Group {
  keys: ReturnType<typeof logKeys>;
  partition: number;
  /** Under which it was written before the fault. */
  broken: Term;
  drivers: readonly Driver[];
}

export interface Lost {
  all: LostCount;
  /** Of those, what was acknowledged as held by every replica. */
  replicated: LostCount;
}

/** A line `term` of meta; null: no process has written. */
export function parseTerm(line: string | null): Term | null {
  if (line === null) return null;
  const [, , owner = '', number, , , previous] = line.split(' ');
  return { owner, number: Number(number), previous: Number(previous) };
}

/** Its owner, before the first colon, is the run id of the process. */
const isOf = ({ owner }: Term, runId: string): boolean => owner.startsWith(`${runId}:`);

interface TakenOver {
  /** Its own term, the first of it that was seen. */
  term: number;
  orders: Orders;
}

/** What a candidate took over, for each partition whose next term it began. */
class Candidate {
  readonly tookOver = new Map<Group, TakenOver>();
  readonly #seenAtMs = new Map<Group, number>();

  constructor(
    readonly address: string,
    readonly groups: readonly Group[],
  ) {}

  async watch(stack: Reader, isOver: () => boolean): Promise<void> {
    while (!isOver()) {
      let node: ReaderConnection | undefined;
      try {
        node = await openReplica(stack, this.address, PATIENCE_MS);
        const runId = /run_id:(\w+)/.exec(await node.info('server'))?.[1] ?? '';
        while (!isOver()) {
          await this.#look(node, runId);
          await sleep(LOOK_EVERY_MS);
        }
      } catch {
        await sleep(TRY_AGAIN_MS); // gone, or not up yet
      } finally {
        node?.disconnect();
      }
    }
  }

  async #look(node: ReaderConnection, runId: string): Promise<void> {
    const groups = this.groups.filter((group) => !this.tookOver.has(group));
    const lines = await Promise.all(groups.map(({ keys }) => node.hget(keys.meta, 'term')));
    for (const [i, group] of groups.entries()) {
      const term = parseTerm(lines[i] ?? null);
      const { broken } = group;
      if (term === null || term.previous !== broken.number || term.owner === broken.owner) continue;
      if (!isOf(term, runId)) continue;
      const seenAtMs = this.#seenAtMs.get(group) ?? performance.now();
      this.#seenAtMs.set(group, seenAtMs);
      if (performance.now() < seenAtMs + READ_AFTER_MS) continue;
      const ids = group.drivers.map(({ driverId }) => driverId);
      const orders = await newestUpTo(node, group.keys, ids, broken.number);
      if (orders !== null) this.tookOver.set(group, { term: term.number, orders });
    }
  }
}

/** The candidate whose term comes first. */
export function earliest<T extends { term: number }>(taken: readonly T[]): T | undefined {
  return taken.reduce<T | undefined>(
    (first, one) => (first === undefined || one.term < first.term ? one : first),
    undefined,
  );
}

export class LossTruth {
  readonly #candidates: readonly Candidate[];
  readonly #groups: readonly Group[];
  readonly #watching: Promise<unknown>;
  #isOver = false;

  private constructor(stack: Reader, groups: readonly Group[], candidates: readonly string[]) {
    this.#groups = groups;
    this.#candidates = candidates.map((address) => new Candidate(address, groups));
    const isOver = () => this.#isOver;
    this.#watching = Promise.all(this.#candidates.map((candidate) => candidate.watch(stack, isOver)));
  }

  /** `candidates`: the region's master and its replicas. They are watched until `stop`. */
  static async of(
    stack: Reader,
    candidates: readonly string[],
    load: { drivers: readonly Driver[] },
    region: { partitions: readonly { partition: number; tag: string }[] },
  ): Promise<LossTruth> {
    const groups: Group[] = [];
    await withNode(stack, candidates[0] as string, async (master) => {
      for (const { partition, tag } of region.partitions) {
        const keys = logKeys(tag);
        const drivers = load.drivers.filter(({ spot }) => spot.partition === partition);
        const broken = parseTerm(await master.hget(keys.meta, 'term'));
        if (drivers.length === 0) continue;
        if (broken === null) throw new Error(`nobody has written to partition ${partition}`);
        groups.push({ keys, partition, broken, drivers });
      }
    });
    return new LossTruth(stack, groups, candidates);
  }

  /** Until what the next owner of each partition took over has been read; gives up after a while, which `lost` says. */
  async untilRead(): Promise<void> {
    const isRead = () => this.#groups.every((group) => this.#tookOver(group) !== undefined);
    await waitFor('what was taken over is read', READ_DEADLINE_MS, () => isRead() || undefined).catch(
      () => {},
    );
  }

  async stop(): Promise<void> {
    this.#isOver = true;
    await this.#watching;
  }

  /** Null: not seen. */
  get nextOwner(): string | null {
    const taken = this.#candidates.flatMap(({ address, tookOver }) =>
      [...tookOver.values()].map(({ term }) => ({ address, term })),
    );
    return earliest(taken)?.address ?? null;
  }

  /** `acks`: all of the region. A text is the reason why it was not measured. */
  lost(acks: readonly Ack[], faultAtMs: number): Lost | string {
    const { surelyMs, possiblyMs } = lastOfOldMaster(acks, faultAtMs);
    const unseen = this.#groups.filter((group) => this.#tookOver(group) === undefined);
    if (unseen.length > 0) {
      const list = unseen.map(({ partition }) => partition).join(', ');
      return `the next owner of ${unseen.length} partitions was not seen in time: ${list}`;
    }
    const replicated = acks.filter(({ durability }) => durability === 'replicated');
    const count = (told: Orders) =>
      this.#groups.reduce(
        (sum, group) => sum + lacking(group.drivers, this.#tookOver(group) ?? new Map(), told),
        0,
      );
    const between = (of: readonly Ack[]): LostCount => ({
      least: count(newestTold(of, surelyMs)),
      most: count(newestTold(of, possiblyMs)),
    });
    return { all: between(acks), replicated: between(replicated) };
  }

  #tookOver(group: Group): Orders | undefined {
    return earliest(this.#candidates.flatMap(({ tookOver }) => tookOver.get(group) ?? []))?.orders;
  }
}

/** For each driver the newest position that had been acknowledged by then. */
function newestTold(acks: readonly Ack[], untilMs: number): Orders {
  const newest = new Map<string, Order>();
  for (const { driverId, ackAtMs, session, recordedAtMs } of acks) {
    if (ackAtMs > untilMs) continue;
    const held = newest.get(driverId);
    const order = { session, recordedAtMs };
    if (held === undefined || isOlder(held, order)) newest.set(driverId, order);
  }
  return newest;
}

function lacking(drivers: readonly Driver[], found: Orders, told: Orders): number {
  return drivers.filter(({ driverId }) => {
    const newest = told.get(driverId);
    const held = found.get(driverId);
    return newest !== undefined && (held === undefined || isOlder(held, newest));
  }).length;
}

// What a failover loses, taken from outside: while its master is dead, the replica is read directly, again and again
// until it is promoted, and held against what the drivers were told by then.
import type { ReaderConnection } from '@whereabouts/infra/dev/reader-connection';
import { partitionKeys } from '@whereabouts/infra/live-store/keys';
import { decodeRecord } from '@whereabouts/infra/position-record';
import type { Stack } from '../stack-file.js';
import type { Truth } from '../testing/truth.js';
import { openReplica } from './cluster-view.js';
import type { DrillDriver } from './drill-driver.js';
import type { Load } from './load.js';
import type { Region } from './regions.js';

/** The replica may be frozen for a while. */
const PATIENCE_MS = 20_000;

interface Order {
  session: number;
  recordedAtMs: number;
}

export class LossTruth {
  readonly #replica: ReaderConnection;
  readonly #load: Load;
  readonly #groups: { key: string; drivers: DrillDriver[] }[];
  #lost: number | null = null;
  #lostReplicated = 0;
  #over = false;

  private constructor(replica: ReaderConnection, load: Load, region: Region) {
    this.#replica = replica;
    this.#load = load;
    this.#groups = region.partitions
      .map(({ partition, tag }) => ({
        key: partitionKeys(tag).positions,
        drivers: load.drivers.filter(({ spot }) => spot.partition === partition),
      }))
      .filter(({ drivers }) => drivers.length > 0);
  }

  /** Connected while the replica still is what it was. */
  static async of(stack: Stack, replicaAddress: string, load: Load, region: Region): Promise<LossTruth> {
    return new LossTruth(await openReplica(stack, replicaAddress, PATIENCE_MS), load, region);
  }

  /** From the death of the master until the replica is promoted, or `stop`. */
  async watch(): Promise<void> {
    try {
      while (!this.#over && (await this.#look()));
    } catch {
      // The replica went away too: what was seen last counts.
    } finally {
      this.#replica.disconnect();
    }
  }

  stop(): void {
    this.#over = true;
  }

  /** Drivers whose newest acknowledged position the replica lacked when it was promoted; null: it was not seen. */
  get lost(): number | null {
    return this.#lost;
  }

  /** The same of positions that were acknowledged as held by every replica. */
  get lostReplicated(): number {
    return this.#lostReplicated;
  }

  /** False once it is a master: then what it holds is no longer what it had. */
  async #look(): Promise<boolean> {
    const pipeline = this.#replica.pipeline();
    for (const { key, drivers } of this.#groups) {
      pipeline.hmgetBuffer(key, ...drivers.map(({ driverId }) => driverId));
    }
    // Last: if it is a replica now, it was one at each answer before.
    pipeline.role();
    const replies = (await pipeline.exec()) ?? [];
    const role = replies.pop()?.[1] as unknown[] | undefined;
    if (role === undefined || String(role[0]) !== 'slave') return false;
    const records = replies.map(([error, found]) => (error ? [] : (found as (Buffer | null)[])));
    this.#lost = this.#count(records, this.#load.truth);
    this.#lostReplicated = this.#count(records, this.#load.replicated);
    return true;
  }

  #count(records: readonly (Buffer | null)[][], truth: Truth): number {
    let lost = 0;
    for (const [i, { drivers }] of this.#groups.entries()) {
      for (const [j, { driverId }] of drivers.entries()) {
        const told = truth.newest.get(driverId);
        if (told === undefined) continue;
        const record = records[i]?.[j] ?? null;
        if (record === null || isOlder(decodeRecord(driverId, record), told)) lost++;
      }
    }
    return lost;
  }
}

const isOlder = (a: Order, b: Order): boolean =>
  a.session < b.session || (a.session === b.session && a.recordedAtMs < b.recordedAtMs);

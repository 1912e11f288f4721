// Reads from the store which connections hold the drivers of one partition of sessions. This finds missed notifications
// and lost claims. Due every 30 s, and soon after anything that may have been missed.
import type { LogStore } from '@whereabouts/infra/live-store/log-store';
import { StoreError } from '@whereabouts/infra/live-store/store-error';
import { Backoff } from '@whereabouts/infra/service/backoff';
import type { ClaimEntries, Entry } from './claim-entries.js';

export type Standing = { session: number; connectionId: string } | null;

const MAX_DRIVERS = 500;
const EVERY_MS = 30_000;
/** So that not all partitions of a node are looked at in one moment, nor by all processes. */
const SPREAD_MS = 1_000;
const BACKOFF = { firstMs: 50, limitMs: 2_000 };

export class ClaimsLook {
  readonly #partition: number;
  readonly #store: LogStore;
  readonly #entries: ClaimEntries;
  readonly #found: (entry: Entry, stands: Standing) => void;
  readonly #backoff = new Backoff(BACKOFF);
  #isUnderWay = false;
  /** By the monotonic clock. */
  #wantedFromMs = Number.POSITIVE_INFINITY;
  /** By the clock of `check`; NaN before the first. */
  #dueAtMs = Number.NaN;

  constructor(
    partition: number,
    store: LogStore,
    entries: ClaimEntries,
    found: (entry: Entry, stands: Standing) => void,
  ) {
    this.#partition = partition;
    this.#store = store;
    this.#entries = entries;
    this.#found = found;
  }

  get isWanted(): boolean {
    return this.#wantedFromMs < Number.POSITIVE_INFINITY;
  }

  want(spreadMs = SPREAD_MS): void {
    if (this.#entries.size === 0) return;
    this.#wantedFromMs = Math.min(this.#wantedFromMs, performance.now() + Math.random() * spreadMs);
  }

  reachable(): void {
    this.#backoff.succeeded();
  }

  /** The phase is at random. */
  check(nowMs: number): void {
    if (Number.isNaN(this.#dueAtMs)) this.#dueAtMs = nowMs + Math.random() * EVERY_MS;
    if (nowMs < this.#dueAtMs) return;
    this.#dueAtMs = nowMs + EVERY_MS;
    this.want(0);
  }

  /** Returns how many calls were made; none unless it is wanted by now. */
  async run(nowMs: number): Promise<number> {
    if (this.#isUnderWay || nowMs < this.#wantedFromMs || !this.#backoff.mayTry(nowMs)) return 0;
    this.#wantedFromMs = Number.POSITIVE_INFINITY;
    this.#isUnderWay = true;
    let calls = 0;
    try {
      const held = this.#entries.held();
      for (let at = 0; at < held.length; at += MAX_DRIVERS, calls++) {
        const page = held.slice(at, at + MAX_DRIVERS);
        const driverIds = page.map(({ connection }) => connection.driverId);
        const standings = await this.#store.sessions(this.#partition, driverIds);
        for (const [i, entry] of page.entries())
          if (entry.state === 'held') this.#found(entry, standings[i] ?? null);
      }
      this.#backoff.succeeded();
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      this.#backoff.failed(performance.now());
      this.want(0);
    } finally {
      this.#isUnderWay = false;
    }
    return calls;
  }
}

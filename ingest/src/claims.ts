// Which connection of a driver is the newest, over all processes: the sessions of this process's connections, claimed in
// the live store. Readers keep the greatest session, so the order of sessions has to be that of connections.
//
//   open ──▶ a session of the store's clock, at once ──claim──▶ won: that session, or a greater one (`claimed`)
//                                                    └────────▶ lost, or later won by another: `superseded`
//
// Claims are sent in rounds, one bounded call at a time for each partition of sessions (claims-partition.ts). Processes
// notify each other of connections that lost (supersession.ts).
import { randomBytes } from 'node:crypto';
import type { LogStore } from '@whereabouts/infra/live-store/log-store';
import { sessionPartitionOf } from '@whereabouts/infra/session-partition';
import type { ClaimCounts, ClaimingConnection, SessionClaims } from './claiming-connection.js';
import { PartitionClaims } from './claims-partition.js';
import { processOf, Supersession } from './supersession.js';

export interface ClaimsOptions {
  store: LogStore;
  /** Of this process alone, at random. */
  processId?: string;
  /**
   * The connection that took this driver from here has gone without a report, so his newest record may be one of ours:
   * unless he is back, he is to be recorded as offline.
   */
  handedBack?(driverId: string): void;
}

const ROUND_MS = 10;
/** Between rounds of many claims: they wait for no answer, and a fuller call costs less for each. */
const BUSY_ROUND_MS = 100;

export class Claims implements SessionClaims {
  readonly processId: string;
  readonly counts: ClaimCounts = {
    claims: 0,
    calls: 0,
    failedCalls: 0,
    lost: 0,
    renumbered: 0,
    superseded: 0,
    looks: 0,
  };
  readonly #store: LogStore;
  readonly #partitions: PartitionClaims[];
  readonly #supersession: Supersession;
  readonly #active = new Set<PartitionClaims>();
  #connections = 0;
  #timer: NodeJS.Timeout | undefined;
  #isClosed = false;

  constructor({ store, processId = randomBytes(8).toString('hex'), handedBack }: ClaimsOptions) {
    this.#store = store;
    this.processId = processId;
    const partitions = Array.from({ length: store.map.partitions }, (_, i) => i);
    this.#supersession = new Supersession(store, processId, {
      heard: (news) => this.#partitionOf(news.driverId).hear(news),
      left: (driverId) => {
        if (!this.#partitionOf(driverId).has(driverId)) handedBack?.(driverId);
      },
      queued: () => this.#schedule(ROUND_MS),
      missed: () => {
        for (const partition of this.#partitions) partition.lookSoon();
      },
    });
    const active = (partition: PartitionClaims) => this.#activate(partition);
    this.#partitions = partitions.map(
      (i) => new PartitionClaims(i, { store, counts: this.counts, supersession: this.#supersession, active }),
    );
    store.onTerm((state) => this.#partitions[state.partition]?.noteTerm(state));
    store.onReachable((partition) => this.#partitions[partition]?.reachable());
  }

  newConnectionId(): string {
    return `${this.processId}-${++this.#connections}`;
  }

  open(connection: ClaimingConnection): number {
    if (processOf(connection.connectionId) !== this.processId)
      throw new RangeError(`${connection.connectionId} is not of ${this.processId}`);
    return this.#partitionOf(connection.driverId).open(connection);
  }

  closed(connection: ClaimingConnection): void {
    this.#partitionOf(connection.driverId).closed(connection);
  }

  look(nowMs: number): void {
    for (const partition of this.#partitions) partition.look(nowMs);
  }

  /** Drivers whose claims have not been answered. */
  get unanswered(): number {
    return this.#partitions.reduce((sum, { unanswered }) => sum + unanswered, 0);
  }

  /** Whether claims of that partition can go out. */
  isReachable(partition: number): boolean {
    return this.#store.reachable(partition);
  }

  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#timer);
    this.#supersession.close();
  }

  #partitionOf(driverId: string): PartitionClaims {
    return this.#partitions[sessionPartitionOf(driverId, this.#store.map.partitions)] as PartitionClaims;
  }

  /** Somebody there has something to send. */
  #activate(partition: PartitionClaims): void {
    this.#active.add(partition);
    this.#schedule(ROUND_MS);
  }

  #schedule(afterMs: number): void {
    if (this.#isClosed) return;
    this.#timer ??= setTimeout(() => this.#round(), afterMs);
  }

  #round(): void {
    this.#timer = undefined;
    const nowMs = performance.now();
    let sent = 0;
    for (const partition of this.#active) {
      sent += partition.send(nowMs);
      if (!partition.hasMore) this.#active.delete(partition);
    }
    this.#supersession.send();
    const isBusy = sent > this.#partitions.length / 2;
    if (isBusy || this.#active.size > 0) this.#schedule(isBusy ? BUSY_ROUND_MS : ROUND_MS);
  }
}

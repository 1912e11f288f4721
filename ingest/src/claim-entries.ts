// The drivers of one partition of sessions that have a connection here, one entry each:
//
//             sent            won
//   waiting ───────▶ claiming ────▶ held        lost, superseded, closed: ended
//      ▲  ▲             │            │
//      │  └─ no answer ─┘            │
//      └──── lost with a tail, not found, or claimed hours ago
//
// An entry that closes while it waits stays until its claim is answered: a greater session affects what it has recorded.
import type { ClaimingConnection } from './claiming-connection.js';

type EntryState = 'waiting' | 'claiming' | 'held' | 'ended';

const MAY_FOLLOW: Record<EntryState, readonly EntryState[]> = {
  waiting: ['claiming', 'ended'],
  claiming: ['waiting', 'held', 'ended'],
  held: ['waiting', 'ended'],
  ended: [],
};

export interface Entry {
  readonly connection: ClaimingConnection;
  /** By this process's monotonic clock. */
  readonly openedAtMs: number;
  state: EntryState;
  session: number;
  /** The store has given it its session. */
  isGiven: boolean;
  wasSent: boolean;
  isClosed: boolean;
  /** At which its claim was acknowledged last, in the partition's term. */
  revision: number;
  /** The connection of another process that it took the driver from; '' for none. */
  tookFrom: string;
}

/** Above it, what closes before its claim was answered is forgotten. */
const MAX_CLOSED = 1_000;

export const hasReported = ({ connection }: Entry): boolean => connection.hasReported ?? true;

export class ClaimEntries {
  readonly #byDriver = new Map<string, Entry>();
  /** In the order of arrival. */
  readonly #waiting = new Set<Entry>();
  #closed = 0;
  #claiming = 0;

  get size(): number {
    return this.#byDriver.size;
  }

  get waiting(): number {
    return this.#waiting.size;
  }

  get unanswered(): number {
    return this.#waiting.size + this.#claiming;
  }

  get(driverId: string): Entry | undefined {
    return this.#byDriver.get(driverId);
  }

  held(): Entry[] {
    return [...this.#byDriver.values()].filter(({ state }) => state === 'held');
  }

  /** The longest waiting. */
  firstWaiting(limit: number): Entry[] {
    const first: Entry[] = [];
    for (const entry of this.#waiting) if (first.push(entry) === limit) break;
    return first;
  }

  /** In place of an older one, which has ended. */
  add(connection: ClaimingConnection, session: number, tookFrom: string): Entry {
    const entry: Entry = {
      connection,
      openedAtMs: performance.now(),
      state: 'waiting',
      session,
      isGiven: false,
      wasSent: false,
      isClosed: false,
      revision: 0,
      tookFrom,
    };
    this.#byDriver.set(connection.driverId, entry);
    this.#waiting.add(entry);
    return entry;
  }

  /** Returns whether the entry stays until its claim is answered. */
  close(entry: Entry): boolean {
    if (entry.state === 'held' || this.#closed >= MAX_CLOSED) return false;
    entry.isClosed = true;
    this.#closed++;
    return true;
  }

  move(entry: Entry, next: EntryState): void {
    if (!MAY_FOLLOW[entry.state].includes(next))
      throw new Error(`a claim that is ${entry.state} cannot become ${next}`);
    if (entry.state === 'claiming') this.#claiming--;
    if (next === 'claiming') this.#claiming++;
    entry.state = next;
    if (next === 'waiting') this.#waiting.add(entry);
    else this.#waiting.delete(entry);
    if (next !== 'ended') return;
    if (entry.isClosed) this.#closed--;
    if (this.#byDriver.get(entry.connection.driverId) === entry)
      this.#byDriver.delete(entry.connection.driverId);
  }
}

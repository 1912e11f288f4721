// The claims of one partition of sessions. One entry for each driver with a connection here:
//
//             sent            won
//   waiting ───────▶ claiming ────▶ held        lost, superseded, closed: ended
//      ▲  ▲             │            │
//      │  └─ no answer ─┘            │
//      └──── lost with a tail, not found, or claimed hours ago
//
// An entry that closes while its claim is under way stays until it is answered: a greater session concerns what it has
// recorded. One call is under way at a time, so claims arrive in the order of connections.
import { type LogState, lostAbove } from '@whereabouts/infra/live-store/log-state';
import type { Claim, ClaimResult, LogStore } from '@whereabouts/infra/live-store/log-store';
import { StoreError } from '@whereabouts/infra/live-store/store-error';
import { Backoff } from '@whereabouts/infra/service/backoff';
import type { ClaimCounts, ClaimingConnection } from './claiming-connection.js';
import type { News, Supersession } from './supersession.js';

type EntryState = 'waiting' | 'claiming' | 'held' | 'ended';

const MAY_FOLLOW: Record<EntryState, readonly EntryState[]> = {
  waiting: ['claiming', 'ended'],
  claiming: ['waiting', 'held', 'ended'],
  held: ['waiting', 'ended'],
  ended: [],
};

interface Entry {
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

interface Ground {
  store: LogStore;
  counts: ClaimCounts;
  supersession: Supersession;
  active(partition: PartitionClaims): void;
}

/** One call takes a node about 1 ms. */
const MAX_CLAIMS = 256;
const MAX_LOOKS = 500;
/** Of a partition; above it, what closes before its claim was answered is forgotten. */
const MAX_CLOSED_WAITING = 1_000;
/** Later than that its arrival says nothing of when the connection was made. */
const FIRST_WITHIN_MS = 300;
const LOOK_EVERY_MS = 30_000;
/** Well below the day after which `sweepSessions` takes what nobody claims. */
const RENEW_EVERY_MS = 5 * 3_600_000;
const BACKOFF = { firstMs: 50, limitMs: 2_000 };

export class PartitionClaims {
  readonly #partition: number;
  readonly #ground: Ground;
  readonly #entries = new Map<string, Entry>();
  /** In the order of arrival. */
  readonly #waiting = new Set<Entry>();
  readonly #claimBackoff = new Backoff(BACKOFF);
  readonly #lookBackoff = new Backoff(BACKOFF);
  #term: Pick<LogState, 'incarnation' | 'term'> | null = null;
  #isClaiming = false;
  #isLooking = false;
  #closedWaiting = 0;
  /** When all entries are to be looked at, by the monotonic clock. */
  #lookFromMs = Number.POSITIVE_INFINITY;
  /** By the clock of `look`; NaN before the first. */
  #lookDueAtMs = Number.NaN;
  #renewDueAtMs = Number.NaN;

  constructor(partition: number, ground: Ground) {
    this.#partition = partition;
    this.#ground = ground;
  }

  get unanswered(): number {
    let claiming = 0;
    if (this.#isClaiming)
      for (const { state } of this.#entries.values()) if (state === 'claiming') claiming++;
    return this.#waiting.size + claiming;
  }

  get hasMore(): boolean {
    return this.#waiting.size > 0 || this.#lookFromMs < Number.POSITIVE_INFINITY;
  }

  open(connection: ClaimingConnection): number {
    const older = this.#entries.get(connection.driverId);
    const clockMs = Math.floor(this.#ground.store.nowMs());
    const entry: Entry = {
      connection,
      openedAtMs: performance.now(),
      state: 'waiting',
      session: Math.max(clockMs, connection.session + 1, older ? older.session + 1 : 0),
      isGiven: false,
      wasSent: false,
      isClosed: false,
      revision: 0,
      tookFrom: older && !hasReported(older) ? older.tookFrom : '',
    };
    if (older) {
      older.tookFrom = '';
      this.#supersede(older);
    }
    this.#entries.set(connection.driverId, entry);
    this.#waiting.add(entry);
    this.#ground.active(this);
    return entry.session;
  }

  closed(connection: ClaimingConnection): void {
    const entry = this.#entries.get(connection.driverId);
    if (entry?.connection !== connection || entry.isClosed) return;
    if (entry.state !== 'held' && this.#closedWaiting < MAX_CLOSED_WAITING) {
      entry.isClosed = true;
      this.#closedWaiting++;
    } else this.#end(entry);
  }

  /** Returns how many claims went out. */
  send(nowMs: number): number {
    const { store } = this.#ground;
    if (!store.reachable(this.#partition)) return 0;
    if (!this.#isLooking && nowMs >= this.#lookFromMs && this.#lookBackoff.mayTry(nowMs))
      void this.#lookAtAll();
    if (this.#isClaiming || this.#waiting.size === 0 || !this.#claimBackoff.mayTry(nowMs)) return 0;
    const batch: Entry[] = [];
    for (const entry of this.#waiting) if (batch.push(entry) === MAX_CLAIMS) break;
    void this.#claim(batch, nowMs);
    return batch.length;
  }

  look(nowMs: number): void {
    if (Number.isNaN(this.#lookDueAtMs)) {
      this.#lookDueAtMs = nowMs + Math.random() * LOOK_EVERY_MS;
      this.#renewDueAtMs = nowMs + (0.5 + Math.random() / 2) * RENEW_EVERY_MS;
    }
    if (nowMs >= this.#lookDueAtMs) {
      this.#lookDueAtMs = nowMs + LOOK_EVERY_MS;
      this.lookWithin(0);
    }
    if (nowMs < this.#renewDueAtMs) return;
    this.#renewDueAtMs = nowMs + RENEW_EVERY_MS;
    this.#claimAgain(() => true);
  }

  lookWithin(spreadMs: number): void {
    if (this.#entries.size === 0) return;
    this.#lookFromMs = Math.min(this.#lookFromMs, performance.now() + Math.random() * spreadMs);
    this.#ground.active(this);
  }

  reachable(): void {
    this.#claimBackoff.succeeded();
    this.#lookBackoff.succeeded();
  }

  /** What a new term lost is claimed again; whatever else there was still stands there. */
  noteTerm(state: LogState): void {
    const known = this.#term;
    this.#term = { incarnation: state.incarnation, term: state.term };
    const above = known === null ? null : lostAbove(known, state);
    if (above === null) return;
    this.#claimAgain(({ revision }) => revision > above);
    this.lookWithin(LOOK_EVERY_MS / 30);
  }

  /** That some connection holds the driver under a session. */
  hear({ driverId, connectionId, holder, session }: News): void {
    const entry = this.#entries.get(driverId);
    if (entry?.connection.connectionId !== connectionId || session <= entry.session) return;
    if (holder === connectionId) this.#renumber(entry, session);
    else this.#supersede(entry);
  }

  #claimAgain(isMeant: (entry: Entry) => boolean): void {
    for (const entry of this.#entries.values())
      if (entry.state === 'held' && isMeant(entry)) this.#move(entry, 'waiting');
    if (this.#waiting.size > 0) this.#ground.active(this);
  }

  async #claim(batch: readonly Entry[], nowMs: number): Promise<void> {
    const { store, counts } = this.#ground;
    const claims = batch.map((entry) => this.#claimOf(entry, nowMs));
    for (const entry of batch) {
      this.#move(entry, 'claiming');
      entry.wasSent = true;
    }
    counts.calls++;
    counts.claims += batch.length;
    this.#isClaiming = true;
    try {
      const { state, results } = await store.claim(this.#partition, claims);
      this.#claimBackoff.succeeded();
      this.#answered(batch, results, state);
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      counts.failedCalls++;
      this.#claimBackoff.failed(performance.now());
    } finally {
      this.#isClaiming = false;
      for (const entry of batch) if (entry.state === 'claiming') this.#move(entry, 'waiting');
      if (this.#waiting.size > 0) this.#ground.active(this);
    }
  }

  #claimOf({ connection, openedAtMs, session, isGiven, wasSent }: Entry, nowMs: number): Claim {
    const isFirst = !wasSent && nowMs - openedAtMs <= FIRST_WITHIN_MS;
    return {
      kind: isGiven ? 'given' : isFirst ? 'first' : 'late',
      driverId: connection.driverId,
      connectionId: connection.connectionId,
      connectedAtMs: this.#ground.store.nodeTimeMs(this.#partition, openedAtMs),
      session,
    };
  }

  #answered(batch: readonly Entry[], results: readonly ClaimResult[], state: LogState): void {
    // The answer of a term that has ended says nothing: its writes may be lost.
    const { incarnation, term } = this.#term ?? state;
    if (state.incarnation !== incarnation || state.term !== term) return;
    for (const [i, entry] of batch.entries()) this.#answer(entry, results[i] as ClaimResult, state.revision);
  }

  #answer(entry: Entry, { won, session, holder, isHolderRenumbered }: ClaimResult, revision: number): void {
    const { supersession, counts } = this.#ground;
    const { driverId, connectionId } = entry.connection;
    const isOther = holder !== '' && holder !== connectionId;
    if (isOther && (won || isHolderRenumbered))
      supersession.tell({ driverId, connectionId: holder, holder: won ? connectionId : holder, session });
    if (won && isOther && supersession.isElsewhere(holder)) this.#took(entry, holder);
    if (entry.state !== 'claiming') return;
    if (!won) {
      counts.lost++;
      this.#supersede(entry);
      return;
    }
    entry.isGiven = true;
    entry.revision = revision;
    this.#move(entry, 'held');
    if (session > entry.session) this.#renumber(entry, session);
    if (entry.isClosed) this.#end(entry);
  }

  /** Also of a connection that another one here has followed since. */
  #took(entry: Entry, from: string): void {
    const current = this.#entries.get(entry.connection.driverId);
    if (entry.state !== 'ended') entry.tookFrom = from;
    else if (current && current.tookFrom === '' && !hasReported(entry)) current.tookFrom = from;
    else if (!current && !hasReported(entry)) this.#ground.supersession.left(entry.connection.driverId, from);
  }

  async #lookAtAll(): Promise<void> {
    const { store, counts } = this.#ground;
    this.#lookFromMs = Number.POSITIVE_INFINITY;
    this.#isLooking = true;
    try {
      const held = [...this.#entries.values()].filter(({ state }) => state === 'held');
      for (let at = 0; at < held.length; at += MAX_LOOKS) {
        const page = held.slice(at, at + MAX_LOOKS);
        const holders = await store.sessions(
          this.#partition,
          page.map(({ connection }) => connection.driverId),
        );
        counts.looks++;
        for (const [i, entry] of page.entries()) this.#looked(entry, holders[i] ?? null);
      }
      this.#lookBackoff.succeeded();
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      this.#lookBackoff.failed(performance.now());
      this.lookWithin(0);
    } finally {
      this.#isLooking = false;
    }
  }

  #looked(entry: Entry, stands: { session: number; connectionId: string } | null): void {
    if (entry.state !== 'held') return;
    const { driverId, connectionId } = entry.connection;
    if (stands !== null && stands.session > entry.session)
      this.hear({ driverId, connectionId, holder: stands.connectionId, session: stands.session });
    else if (stands?.connectionId !== connectionId) {
      this.#move(entry, 'waiting');
      this.#ground.active(this);
    }
  }

  #renumber(entry: Entry, session: number): void {
    entry.session = session;
    this.#ground.counts.renumbered++;
    entry.connection.claimed(session);
  }

  #supersede(entry: Entry): void {
    this.#end(entry);
    if (entry.isClosed) return;
    this.#ground.counts.superseded++;
    entry.connection.superseded();
  }

  #end(entry: Entry): void {
    this.#move(entry, 'ended');
    if (entry.isClosed) this.#closedWaiting--;
    this.#entries.delete(entry.connection.driverId);
    if (entry.tookFrom !== '' && !hasReported(entry))
      this.#ground.supersession.left(entry.connection.driverId, entry.tookFrom);
  }

  #move(entry: Entry, next: EntryState): void {
    if (!MAY_FOLLOW[entry.state].includes(next))
      throw new Error(`a claim that is ${entry.state} cannot become ${next}`);
    entry.state = next;
    if (next === 'waiting') this.#waiting.add(entry);
    else this.#waiting.delete(entry);
  }
}

const hasReported = ({ connection }: Entry): boolean => connection.hasReported ?? true;

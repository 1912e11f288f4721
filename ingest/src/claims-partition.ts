// The claims of one partition of sessions. One call is under way at a time, so claims arrive in the order of connections;
// what a new term lost, or a look does not find, is claimed again. An outage costs no call: the store knows of it.
import { type LogState, lostAbove } from '@whereabouts/infra/live-store/log-state';
import type { Claim, ClaimResult, LogStore } from '@whereabouts/infra/live-store/log-store';
import { StoreError } from '@whereabouts/infra/live-store/store-error';
import { Backoff } from '@whereabouts/infra/service/backoff';
import { ClaimEntries, type Entry, hasReported } from './claim-entries.js';
import type { ClaimCounts, ClaimingConnection } from './claiming-connection.js';
import { ClaimsLook, type Standing } from './claims-look.js';
import type { News, Supersession } from './supersession.js';

interface Ground {
  store: LogStore;
  counts: ClaimCounts;
  supersession: Supersession;
  active(partition: PartitionClaims): void;
}

/** One call takes a node about 1 ms. */
const MAX_CLAIMS = 256;
/** Later than that its arrival says nothing of when the connection was made. */
const FIRST_WITHIN_MS = 300;
/** Well below the day after which `sweepSessions` removes unclaimed sessions. */
const RENEW_EVERY_MS = 5 * 3_600_000;
const BACKOFF = { firstMs: 50, limitMs: 2_000 };

export class PartitionClaims {
  readonly #partition: number;
  readonly #ground: Ground;
  readonly #entries = new ClaimEntries();
  readonly #look: ClaimsLook;
  readonly #backoff = new Backoff(BACKOFF);
  #term: Pick<LogState, 'incarnation' | 'term'> | null = null;
  #isClaiming = false;
  /** By the clock of `look`; NaN before the first. */
  #renewDueAtMs = Number.NaN;

  constructor(partition: number, ground: Ground) {
    this.#partition = partition;
    this.#ground = ground;
    this.#look = new ClaimsLook(partition, ground.store, this.#entries, (entry, stands) =>
      this.#looked(entry, stands),
    );
  }

  has(driverId: string): boolean {
    return this.#entries.get(driverId) !== undefined;
  }

  get unanswered(): number {
    return this.#entries.unanswered;
  }

  get hasMore(): boolean {
    return this.#entries.waiting > 0 || this.#look.isWanted;
  }

  open(connection: ClaimingConnection): number {
    const older = this.#entries.get(connection.driverId);
    const tookFrom = older && !hasReported(older) ? older.tookFrom : '';
    const clockMs = Math.floor(this.#ground.store.nowMs());
    const session = Math.max(clockMs, connection.session + 1, older ? older.session + 1 : 0);
    if (older) {
      older.tookFrom = '';
      this.#entries.move(older, 'ended');
    }
    this.#entries.add(connection, session, tookFrom);
    if (older) this.#tellSuperseded(older);
    this.#ground.active(this);
    return session;
  }

  closed(connection: ClaimingConnection): void {
    const entry = this.#entries.get(connection.driverId);
    if (entry?.connection !== connection || entry.isClosed || this.#entries.close(entry)) return;
    this.#end(entry);
  }

  /** Returns how many claims went out. */
  send(nowMs: number): number {
    const { store } = this.#ground;
    if (!store.reachable(this.#partition)) return 0;
    if (this.#look.isWanted) void this.#lookAtAll(nowMs);
    if (this.#isClaiming || this.#entries.waiting === 0 || !this.#backoff.mayTry(nowMs)) return 0;
    const batch = this.#entries.firstWaiting(MAX_CLAIMS);
    void this.#claim(batch, nowMs);
    return batch.length;
  }

  look(nowMs: number): void {
    this.#look.check(nowMs);
    if (this.hasMore) this.#ground.active(this);
    if (Number.isNaN(this.#renewDueAtMs))
      this.#renewDueAtMs = nowMs + (0.5 + Math.random() / 2) * RENEW_EVERY_MS;
    if (nowMs < this.#renewDueAtMs) return;
    this.#renewDueAtMs = nowMs + RENEW_EVERY_MS;
    this.#claimAgain(() => true);
  }

  /** Something may not have been heard. */
  lookSoon(): void {
    this.#look.want();
    if (this.hasMore) this.#ground.active(this);
  }

  /** Again, or at another node, which may lack what was claimed last. */
  reachable(): void {
    this.#backoff.succeeded();
    this.#look.reachable();
    this.lookSoon();
  }

  /** What a new term lost is claimed again; whatever else there was still stands there. */
  noteTerm(state: LogState): void {
    const known = this.#term;
    this.#term = { incarnation: state.incarnation, term: state.term };
    const above = known === null ? null : lostAbove(known, state);
    if (above === null) return;
    this.#claimAgain(({ revision }) => revision > above);
    this.lookSoon();
  }

  /** That some connection holds the driver under a session. */
  hear({ driverId, connectionId, holder, session }: News): void {
    const entry = this.#entries.get(driverId);
    if (entry?.connection.connectionId !== connectionId || session <= entry.session) return;
    if (holder === connectionId) this.#renumber(entry, session);
    else this.#supersede(entry);
  }

  #claimAgain(isMeant: (entry: Entry) => boolean): void {
    for (const entry of this.#entries.held()) if (isMeant(entry)) this.#entries.move(entry, 'waiting');
    if (this.hasMore) this.#ground.active(this);
  }

  async #claim(batch: readonly Entry[], nowMs: number): Promise<void> {
    const { store, counts } = this.#ground;
    const claims = batch.map((entry) => this.#claimOf(entry, nowMs));
    for (const entry of batch) {
      this.#entries.move(entry, 'claiming');
      entry.wasSent = true;
    }
    counts.calls++;
    counts.claims += batch.length;
    this.#isClaiming = true;
    try {
      const { state, results } = await store.claim(this.#partition, claims);
      this.#backoff.succeeded();
      this.#answered(batch, results, state);
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      counts.failedCalls++;
      this.#backoff.failed(performance.now());
    } finally {
      this.#isClaiming = false;
      for (const entry of batch) if (entry.state === 'claiming') this.#entries.move(entry, 'waiting');
      if (this.hasMore) this.#ground.active(this);
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
    this.#entries.move(entry, 'held');
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

  async #lookAtAll(nowMs: number): Promise<void> {
    const calls = await this.#look.run(nowMs);
    this.#ground.counts.looks += calls;
    if (this.hasMore) this.#ground.active(this);
  }

  #looked(entry: Entry, stands: Standing): void {
    const { driverId, connectionId } = entry.connection;
    if (stands !== null && stands.session > entry.session)
      this.hear({ driverId, connectionId, holder: stands.connectionId, session: stands.session });
    else if (stands?.connectionId !== connectionId) {
      this.#entries.move(entry, 'waiting');
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
    this.#tellSuperseded(entry);
  }

  #tellSuperseded(entry: Entry): void {
    if (entry.isClosed) return;
    this.#ground.counts.superseded++;
    entry.connection.superseded();
  }

  #end(entry: Entry): void {
    this.#entries.move(entry, 'ended');
    if (entry.tookFrom !== '' && !hasReported(entry))
      this.#ground.supersession.left(entry.connection.driverId, entry.tookFrom);
  }
}

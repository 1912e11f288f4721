// The live store: what the services may do with a partition. A write is one call of one Lua function
// (infra/redis/log.lua states keys, arguments, answer and errors), a read is a few plain commands. Each has one deadline.
// Nothing is retried here, so that the caller decides what an outage means. Rejects with StoreError.
//
// A read asks for meta before and after the data. If the two differ in more than counts, the parts may not fit together,
// and the read is refused with `not_ready`. (A MULTI would be consistent, but a node with full memory refuses it.) A
// reader of several pages uses the meta of the previous page as the one before.

import type { Logger } from 'pino';
import type { PartitionMap } from '../partition-map.js';
import type { Position } from '../position.js';
import {
  AT,
  BODY_BYTES,
  type EntryId,
  encodeBody,
  FIRST_ID,
  formatEntryId,
  parseEntryId,
} from '../record.js';
import { PacedLog } from '../service/paced-log.js';
import type { RedisSettings } from '../service/settings.js';
import { sessionPartitionOf } from '../session-partition.js';
import { ClusterClient } from './cluster-client.js';
import type { Argument } from './command-bytes.js';
import { Fold } from './fold.js';
import { FunctionLoader } from './function-loader.js';
import { readLibrary } from './library.js';
import { type LogKeys, logKeys } from './log-keys.js';
import {
  type ConflictingCheckpoint,
  decodeCheckpoints,
  decodeEntries,
  decodeEntry,
  fieldOf,
  isConflict,
  type LogEntry,
  nodeTimeMs,
  pageOf,
  type RawEntry,
  TIME_FIELD,
  type WaitingCheckpoint,
  waitingOf,
} from './log-replies.js';
import {
  type LogState,
  LogStateReader,
  META_LINES,
  type MetaAnswer,
  STATE_SIZE,
  type ToldState,
} from './log-state.js';
import { type NodeConnection, Pipeline } from './node-connection.js';
import { type ChannelListener, channelName, ProcessChannel } from './process-channel.js';
import { StoreClock } from './store-clock.js';
import { isFunctionMissing, StoreError } from './store-error.js';

export interface LogStoreOptions {
  redis: RedisSettings;
  map: PartitionMap;
  log: Logger;
  /** `replicated`: an append also waits until every replica of the node has it. */
  durability?: 'cache' | 'replicated';
  /** A reader takes a node for reachable that answers reads; it never writes, not even a probe. */
  readOnly?: boolean;
  /** Loads the functions into nodes that lack them. Only the flusher and the deployment do that. */
  loadsFunctions?: boolean;
  /** How long `connect` waits for the first master. */
  connectDeadlineMs?: number;
}

export interface Appended {
  /** Its term and revision name the entry. */
  state: ToldState;
  /** Null: the store was not asked to wait for replicas. */
  replicated: Promise<boolean> | null;
}

/** Which data a page was read from. */
export interface LogPageData {
  termLine: object;
  compacted: EntryId;
  place: string;
}

export interface LogPage {
  state: LogState;
  /** Entries up to this id are in the snapshot only: a reader at an earlier id has to read the snapshot. */
  compacted: EntryId;
  entries: LogEntry[];
  /** Which process answered. */
  place: string;
  /** For the next page. */
  data: LogPageData;
}

export interface SnapshotPage {
  state: LogState;
  /** Null: that was the last page. */
  cursor: string | null;
  /** A value is a body and the id of the entry that it came from. */
  values: [driverId: string, value: Buffer][];
  place: string;
}

export type CheckpointOutcome = 'accepted' | 'duplicate' | 'conflict' | 'too_many';

export type CheckpointStanding = 'waits' | 'gone' | 'conflict';

/**
 * `first`: sent at once for a new connection. `late`: sent later, or again. `given`: the same, for a connection that has
 * its session from the store.
 */
export type ClaimKind = 'first' | 'late' | 'given';

export interface Claim {
  kind: ClaimKind;
  driverId: string;
  /** No other connection ever has it. */
  connectionId: string;
  /** By the clock of the node (`nodeTimeMs`); 0: now. */
  connectedAtMs: number;
  /** What it has, given or not; 0: none. */
  session: number;
}

export interface ClaimResult {
  won: boolean;
  /** The driver's session now. */
  session: number;
  /** The connection that held the driver before, or holds it; '' for none. */
  holder: string;
  /** The claim was lost, and its session was not below the holder's: the holder has `session` from now on. */
  isHolderRenumbered: boolean;
}

export interface PartitionCounts {
  state: LogState;
  mapHash: string | null;
  /** Entries up to this id are in the snapshot alone. */
  compacted: EntryId;
  nowMs: number;
  /** Drivers in the snapshot; those that are in the log alone are not counted. */
  drivers: number;
  entries: number;
  checkpointsWaiting: number;
  refused: number;
}

const CONNECT_DEADLINE_MS = 30_000;
const CONNECT_POLL_MS = 20;
const PARTIAL_CONNECT_MS = 1000;
/** Entries that are read at once, and how often before they are folded. */
const COMPACTION_PAGE = 64;
const MAX_COMPACTION_PAGES = 64;
const OUTCOMES: Record<string, CheckpointOutcome> = {
  a: 'accepted',
  d: 'duplicate',
  x: 'conflict',
  c: 'too_many',
};

export class LogStore {
  readonly map: PartitionMap;
  readonly #cluster: ClusterClient;
  readonly #keys: LogKeys[];
  /** By partition. */
  readonly #askForMeta: (readonly Argument[])[] = [];
  readonly #partitionOfSlot = new Map<number, number>();
  readonly #library = readLibrary();
  readonly #options: LogStoreOptions;
  readonly #states = new LogStateReader();
  readonly #reachableListeners: ((partition: number) => void)[] = [];
  readonly #unreachableListeners: ((partition: number) => void)[] = [];
  readonly #termListeners: ((state: LogState) => void)[] = [];
  /** By partition: what an answer last said of its owner. */
  readonly #terms: { incarnation: string; term: number }[] = [];
  readonly #nodeClocks: { owner: string; clock: StoreClock }[] = [];
  readonly #loader: FunctionLoader;
  readonly #paced = new PacedLog();
  readonly #clock = new StoreClock();

  private constructor(options: LogStoreOptions) {
    this.#options = options;
    this.#loader = new FunctionLoader(this.#library.text, options.log);
    this.map = options.map;
    const slots: number[] = [];
    this.#keys = [];
    for (let partition = 0; partition < options.map.partitions; partition++) {
      const slot = options.map.slotOf(partition);
      slots.push(slot);
      this.#partitionOfSlot.set(slot, partition);
      const keys = logKeys(options.map.tagOf(partition));
      this.#keys.push(keys);
      this.#askForMeta.push(['HMGET', keys.meta, ...META_LINES]);
    }
    this.#cluster = new ClusterClient({
      redis: options.redis,
      log: options.log,
      slots,
      probeOf: (slot) => this.#probe(this.#partitionOfSlot.get(slot) as number),
      onProbeRefused: (node, error) => {
        if (options.loadsFunctions && isFunctionMissing(error.message)) this.#loader.missing(node);
      },
      onRefused: (slot, error) => this.#refused(slot, error),
      onReachable: (reached) => this.#tell(this.#reachableListeners, reached),
      onUnreachable: (lost) => this.#tell(this.#unreachableListeners, lost),
    });
  }

  /** Resolves when every partition can be reached, or after a second those of one master at least. */
  static async connect(options: LogStoreOptions): Promise<LogStore> {
    const store = new LogStore(options);
    const startedAtMs = Date.now();
    while (!store.#isConnected(Date.now() - startedAtMs)) {
      if (Date.now() - startedAtMs > (options.connectDeadlineMs ?? CONNECT_DEADLINE_MS)) {
        const troubles = store.#cluster.troubles();
        store.close();
        throw new StoreError('region_unavailable', whyNotReady(options.redis.redisUrls, troubles));
      }
      await new Promise((resolve) => setTimeout(resolve, CONNECT_POLL_MS));
    }
    await store.#askTime();
    return store;
  }

  /** So that not even the first session or report is of this process's own clock. */
  async #askTime(): Promise<void> {
    const ask = async (node: NodeConnection) => {
      const [s, us] = (await node.control('TIME')) as [string, string];
      this.#clock.heard(Number(s) * 1000 + Math.floor(Number(us) / 1000), performance.now());
    };
    await Promise.allSettled(this.#cluster.reachableOwners().map(ask));
  }

  close(): void {
    this.#cluster.close();
  }

  /** The nodes' time, taken from their answers. */
  nowMs(): number {
    return Math.round(this.#clock.at(performance.now()));
  }

  /** The time of the node that owns the partition, at a moment of this process's monotonic clock. */
  nodeTimeMs(partition: number, monotonicMs: number): number {
    return (this.#nodeClocks[partition]?.clock ?? this.#clock).at(monotonicMs);
  }

  nodeOf(partition: number): string | null {
    return this.#cluster.ownerOf(this.map.slotOf(partition));
  }

  /** False while the node that owns it has not shown that it takes writes. */
  reachable(partition: number): boolean {
    return this.#cluster.reachable(this.map.slotOf(partition));
  }

  mastersReachable(): number {
    return this.#cluster.reachableOwners().length;
  }

  onReachable(listener: (partition: number) => void): void {
    this.#reachableListeners.push(listener);
  }

  onUnreachable(listener: (partition: number) => void): void {
    this.#unreachableListeners.push(listener);
  }

  /** On every master that owns a partition. */
  async loadFunctions(): Promise<void> {
    await Promise.all(this.#cluster.owners().map((node) => this.#loader.load(node)));
  }

  /** Told of a partition's state when an answer first shows its term, also the first of all. */
  onTerm(listener: (state: LogState) => void): void {
    this.#termListeners.push(listener);
  }

  // ---- writes

  /** Appends one entry of `count` records (record.ts). If the answer is lost it may be there twice, which is harmless. */
  async append(partition: number, batch: Buffer, count: number): Promise<Appended> {
    const { meta, log } = this.#key(partition);
    const { reply, replicated } = await this.#promised(partition, 'append', [meta, log], count, batch);
    return { state: this.#told(partition, reply), replicated };
  }

  /** Shows that this partition has a writer, if there is nothing to append. */
  async touch(partition: number): Promise<ToldState> {
    return this.#told(partition, await this.#function(partition, 'touch', [this.#key(partition).meta], 0));
  }

  /**
   * Folds entries that are at least so old into the snapshot, about 2,000 drivers at most. With a lease, only if no other
   * process has it. `isMore` is also true if another process was faster.
   */
  async compact(
    partition: number,
    minAgeMs: number,
    lease?: { holder: string; ms: number },
  ): Promise<{ state: LogState; folded: number; isMore: boolean }> {
    if (lease && !(await this.#leaseCompaction(partition, lease))) {
      const { meta } = await this.#read(partition);
      return { state: meta.state, folded: 0, isMore: false };
    }
    const seen = await this.#oldEntries(partition, FIRST_ID, minAgeMs);
    if (seen.entries.length === 0) return { state: seen.state, folded: 0, isMore: false };
    const { fold, isCut } = await this.#foldFrom(partition, seen, minAgeMs);
    const { meta, log, snapshot } = this.#key(partition);
    const from = [seen.state.term, formatEntryId(seen.compacted)];
    const args = [...from, formatEntryId(fold.last), fold.bytes, ...fold.values()];
    const reply = await this.#function(partition, 'compact', [meta, log, snapshot], ...args);
    const isDone = reply[STATE_SIZE] === 1;
    return {
      state: this.#told(partition, reply),
      folded: isDone ? fold.drivers : 0,
      isMore: isCut || !isDone,
    };
  }

  /** `isCut`: there are more old entries than one call folds. */
  async #foldFrom(
    partition: number,
    first: OldEntries,
    minAgeMs: number,
  ): Promise<{ fold: Fold; isCut: boolean }> {
    const fold = new Fold();
    let page = first;
    for (let pages = 1; ; pages++) {
      for (const { id, batch } of page.entries) {
        if (fold.isFull) return { fold, isCut: true };
        if (!fold.take(batch, id)) this.#cannotRead(partition, id);
      }
      if (page.isLast || pages === MAX_COMPACTION_PAGES) return { fold, isCut: !page.isLast };
      page = await this.#oldEntries(partition, fold.last, minAgeMs);
    }
  }

  /** A page of entries, up to the first that is too young. */
  async #oldEntries(partition: number, after: EntryId, minAgeMs: number): Promise<OldEntries> {
    const range = [
      'XRANGE',
      this.#key(partition).log,
      `(${formatEntryId(after)}`,
      '+',
      'COUNT',
      COMPACTION_PAGE,
    ];
    const { meta, replies } = await this.#read(partition, ['TIME'], range);
    const [time, found] = replies as [[Buffer, Buffer], RawEntry[]];
    const notAfterMs = nodeTimeMs(time) - minAgeMs;
    const young = found.findIndex(([, fields]) => Number(fieldOf(fields, TIME_FIELD) ?? 0) > notAfterMs);
    const entries = (young < 0 ? found : found.slice(0, young)).map(decodeEntry);
    return { ...meta, entries, isLast: entries.length < COMPACTION_PAGE };
  }

  async #leaseCompaction(
    partition: number,
    { holder, ms }: { holder: string; ms: number },
  ): Promise<boolean> {
    const args = [this.#functionName('lease_compaction'), 1, this.#key(partition).compaction, holder, ms];
    return Number(await this.#call(partition, ['FCALL', ...args])) === 1;
  }

  #cannotRead(partition: number, id: EntryId): void {
    this.#paced.log(`entry of ${partition}`, (times) =>
      this.#options.log.warn(
        { partition, entry: formatEntryId(id), times },
        'a part of an entry of the log cannot be read, and is dropped',
      ),
    );
  }

  /** Removes from one page of the snapshot what is older, in Postgres and not refused. `cursor` null: that was all. */
  async sweep(
    partition: number,
    o: { removeBeforeMs: number; cursor: string; pageSize: number },
  ): Promise<{ cursor: string | null; removed: number }> {
    const { meta, snapshot, refused } = this.#key(partition);
    const keys = [meta, snapshot, refused];
    const reply = await this.#function(partition, 'sweep', keys, o.removeBeforeMs, o.cursor, o.pageSize);
    return pageOf(reply);
  }

  /** Keeps checkpoints until Postgres has them; each needs its id. */
  async checkpoint(
    partition: number,
    positions: readonly Position[],
  ): Promise<Appended & { outcomes: CheckpointOutcome[] }> {
    const { meta, checkpoints } = this.#key(partition);
    const args: Argument[] = [AT.recordedAt + 1, AT.heading];
    for (const position of positions) {
      const body = Buffer.allocUnsafe(BODY_BYTES);
      encodeBody(position, body, 0);
      args.push(position.driverId, position.checkpointId as string, body);
    }
    const keys = [meta, checkpoints];
    const { reply, replicated } = await this.#promised(partition, 'checkpoint', keys, ...args);
    const outcomes = Array.from(String(reply[STATE_SIZE]), (letter) => OUTCOMES[letter] as CheckpointOutcome);
    return { state: this.#told(partition, reply), outcomes, replicated };
  }

  /** Takes out what is committed in Postgres, and conflicts that have been told. */
  async checkpointsDone(partition: number, fields: readonly string[]): Promise<ToldState> {
    const { meta, checkpoints } = this.#key(partition);
    return this.#told(
      partition,
      await this.#function(partition, 'checkpoints_done', [meta, checkpoints], ...fields),
    );
  }

  /** Postgres has other checkpoints under these ids. */
  async checkpointsConflict(partition: number, fields: readonly string[]): Promise<ToldState> {
    const { meta, checkpoints } = this.#key(partition);
    const reply = await this.#function(partition, 'checkpoints_conflict', [meta, checkpoints], ...fields);
    return this.#told(partition, reply);
  }

  /**
   * In the partition of the drivers' sessions (`sessionPartitionOf`). The order of arrival counts for claims that come
   * first; a node that stalls takes them later, in any order: they then count as late ones.
   */
  async claim(
    partition: number,
    claims: readonly Claim[],
  ): Promise<{ state: ToldState; results: ClaimResult[] }> {
    const { meta, sessions } = this.#key(partition);
    const args = claims.flatMap(({ kind, driverId, connectionId, connectedAtMs, session }) => [
      kind.charAt(0),
      driverId,
      connectionId,
      Math.max(0, Math.floor(connectedAtMs)),
      session,
    ]);
    const untilMs = this.#arrivalCountsUntilMs(partition);
    const reply = await this.#function(partition, 'claim', [meta, sessions], untilMs, ...args);
    const results = claims.map((_, i) => {
      const [letter, session, holder] = reply.slice(STATE_SIZE + 3 * i, STATE_SIZE + 3 * i + 3).map(String);
      return {
        won: letter === 'w',
        session: Number(session),
        holder: holder as string,
        isHolderRenumbered: letter === 'r',
      };
    });
    return { state: this.#told(partition, reply), results };
  }

  async sweepSessions(
    partition: number,
    o: { claimedBeforeMs: number; cursor: string; pageSize: number },
  ): Promise<{ cursor: string | null; removed: number }> {
    const { meta, sessions } = this.#key(partition);
    const keys = [meta, sessions];
    return pageOf(
      await this.#function(partition, 'sweep_sessions', keys, o.claimedBeforeMs, o.cursor, o.pageSize),
    );
  }

  /** Takes the partition's lease; StoreError `leased` while another flusher has it. */
  async begin(partition: number, flusherId: string, leaseMs: number): Promise<ToldState> {
    const { meta, lease } = this.#key(partition);
    return this.#told(partition, await this.#function(partition, 'begin', [meta, lease], flusherId, leaseMs));
  }

  /** Moves the watermark to begin's revision, and gives the lease back. Begin again on `term_changed`. */
  async flushed(
    partition: number,
    o: { term: number; revision: number; asOfMs: number; flusherId: string },
  ): Promise<ToldState> {
    const { meta, lease } = this.#key(partition);
    const args = [o.term, o.revision, o.asOfMs, o.flusherId];
    return this.#told(partition, await this.#function(partition, 'flushed', [meta, lease], ...args));
  }

  async release(partition: number, flusherId: string): Promise<void> {
    const args = [this.#functionName('release'), 1, this.#key(partition).lease, flusherId];
    await this.#call(partition, ['FCALL', ...args]);
  }

  /** Notes which records Postgres refused, or takes these very notes back. Returns how many there are. */
  async refuse(
    partition: number,
    records: readonly { driverId: string; id: EntryId }[],
    isRefused: boolean,
  ): Promise<number> {
    const { meta, refused } = this.#key(partition);
    const args = records.flatMap(({ driverId, id }) => [driverId, formatEntryId(id)]);
    const reply = await this.#function(partition, 'refuse', [meta, refused], isRefused ? 1 : 0, ...args);
    this.#told(partition, reply);
    return reply[STATE_SIZE] as number;
  }

  /** Declares everything unflushed: Postgres may lack what came after `sinceMs`. */
  async rewind(partition: number, sinceMs: number): Promise<ToldState> {
    const { meta, refused } = this.#key(partition);
    return this.#told(partition, await this.#function(partition, 'rewind', [meta, refused], sinceMs));
  }

  // ---- reads

  /** For `nowMs`, if nothing else gives a node's time: the answers of reads do not have it. */
  async readClock(partition: number): Promise<void> {
    const [seconds, micros] = (await this.#call(partition, ['TIME'])) as [Buffer, Buffer];
    this.#clock.heard(nodeTimeMs([seconds, micros]), performance.now());
  }

  /**
   * Up to `count` entries after an id. `before`: the data of this reader's last page. A process never takes back a term
   * or a compaction. So if meta is the same after the entries as it was with the last page, it has not changed in
   * between, and need not be asked before them too.
   */
  async entries(
    partition: number,
    after: EntryId,
    count: number,
    before: LogPageData | null = null,
  ): Promise<LogPage> {
    const range = ['XRANGE', this.#key(partition).log, `(${formatEntryId(after)}`, '+', 'COUNT', count];
    if (before !== null) {
      const page = await this.#pageAfter(partition, before, range);
      if (page !== null) return page;
    }
    const { meta, replies, place } = await this.#read(partition, range);
    const { state, compacted, termLine } = meta;
    const data = { termLine, compacted, place };
    return { state, compacted, entries: decodeEntries(replies[0]), place, data };
  }

  /** Null if the data is not, or may not be, what it was before. */
  async #pageAfter(
    partition: number,
    before: LogPageData,
    range: readonly Argument[],
  ): Promise<LogPage | null> {
    const pipeline = new Pipeline([range, this.#askForMeta[partition] as readonly Argument[]]);
    const { reply, place } = await this.#cluster.callFrom(this.map.slotOf(partition), pipeline);
    const [entries, lines] = reply as [unknown, Lines];
    const meta = this.#states.read(partition, lines);
    if (place !== before.place || !isSameData(before, meta)) return null;
    this.#checked(meta);
    const { state, compacted } = meta;
    return { state, compacted, entries: decodeEntries(entries), place, data: before };
  }

  /** `cursor` null for the first page. A page of another process than page one rejects with `place_changed`. */
  async snapshot(
    partition: number,
    o: { cursor: string | null; place: string | null; pageSize: number },
  ): Promise<SnapshotPage> {
    const { snapshot } = this.#key(partition);
    const scan = ['HSCAN', snapshot, o.cursor ?? '0', 'COUNT', o.pageSize];
    const { meta, replies, place } = await this.#read(partition, scan);
    if (o.cursor !== null && o.place !== place) {
      throw new StoreError('place_changed', `the snapshot was begun at ${o.place}, not ${place}`);
    }
    const [cursor, list] = replies[0] as [Buffer, Buffer[]];
    const values: [string, Buffer][] = [];
    for (let i = 0; i + 1 < list.length; i += 2)
      values.push([(list[i] as Buffer).toString('latin1'), list[i + 1] as Buffer]);
    const { state } = meta;
    return { state, cursor: String(cursor) === '0' ? null : String(cursor), values, place };
  }

  /** What the snapshot has of these drivers; null: nothing. The log may have newer records. */
  async snapshotOf(partition: number, driverIds: readonly string[]): Promise<(Buffer | null)[]> {
    const { snapshot } = this.#key(partition);
    const { replies } = await this.#read(partition, ['HMGET', snapshot, ...driverIds]);
    return replies[0] as (Buffer | null)[];
  }

  /** Of each driver, the id of the record that Postgres refused; the notes are no older than the state's watermark. */
  async refused(partition: number): Promise<{ state: LogState; refused: Map<string, EntryId> }> {
    const { metaBefore, replies } = await this.#read(partition, ['HGETALL', this.#key(partition).refused]);
    const list = replies[0] as Buffer[];
    const found = new Map<string, EntryId>();
    for (let i = 0; i + 1 < list.length; i += 2) {
      const id = parseEntryId(String(list[i + 1]));
      if (id !== null) found.set(String(list[i]), id);
    }
    return { state: metaBefore.state, refused: found };
  }

  async counts(partition: number): Promise<PartitionCounts> {
    const { log, snapshot, checkpoints, refused } = this.#key(partition);
    const { meta, replies } = await this.#read(
      partition,
      ['TIME'],
      ['HLEN', snapshot],
      ['XLEN', log],
      ['HGET', checkpoints, '*'],
      ['HLEN', refused],
    );
    const [time, drivers, entries, waiting, refusedCount] = replies as [
      [Buffer, Buffer],
      number,
      number,
      Buffer | null,
      number,
    ];
    const { state, mapHash, compacted } = meta;
    const nowMs = nodeTimeMs(time);
    this.#clock.heard(nowMs, performance.now());
    const checkpointsWaiting = waitingOf(waiting);
    return {
      state,
      mapHash,
      compacted,
      nowMs,
      drivers,
      entries,
      checkpointsWaiting,
      refused: refusedCount,
    };
  }

  /** How many wait for Postgres. `counts` has that too, at twice the cost. */
  async checkpointsWaiting(partition: number): Promise<number> {
    const reply = await this.#call(partition, ['HGET', this.#key(partition).checkpoints, '*']);
    return waitingOf(reply as unknown as Buffer | null);
  }

  /** A page of the checkpoints that wait for Postgres, and of those in conflict. `unreadable`: what is no checkpoint. */
  async waitingCheckpoints(
    partition: number,
    o: { cursor: string | null; place: string | null; pageSize: number },
  ): Promise<{
    cursor: string | null;
    place: string;
    waiting: WaitingCheckpoint[];
    conflicts: ConflictingCheckpoint[];
    unreadable: number;
  }> {
    const { checkpoints } = this.#key(partition);
    const command = ['HSCAN', checkpoints, o.cursor ?? '0', 'COUNT', o.pageSize];
    const { reply, place } = await this.#cluster.callFrom(this.map.slotOf(partition), command);
    if (o.cursor !== null && o.place !== place)
      throw new StoreError('place_changed', `the scan was begun at ${o.place}, not ${place}`);
    const [cursor, list] = reply as [Buffer, Buffer[]];
    const next = String(cursor) === '0' ? null : String(cursor);
    return { cursor: next, place, ...decodeCheckpoints(list) };
  }

  /** In the term that took a checkpoint, one that waits no more is in Postgres. */
  async checkpointStandings(
    partition: number,
    fields: readonly string[],
  ): Promise<{ state: LogState; standings: CheckpointStanding[] }> {
    const { checkpoints } = this.#key(partition);
    const { meta, replies } = await this.#read(partition, ['HMGET', checkpoints, ...fields]);
    const standings = (replies[0] as (Buffer | null)[]).map((value): CheckpointStanding => {
      if (value === null) return 'gone';
      return isConflict(value) ? 'conflict' : 'waits';
    });
    return { state: meta.state, standings };
  }

  /** The connection that holds each driver now; null: none does. */
  async sessions(
    partition: number,
    driverIds: readonly string[],
  ): Promise<({ session: number; connectionId: string } | null)[]> {
    const { sessions } = this.#key(partition);
    const { replies } = await this.#read(partition, ['HMGET', sessions, ...driverIds]);
    return (replies[0] as (Buffer | null)[]).map((value) =>
      value === null || value.length < SESSION_BYTES
        ? null
        : { session: value.readUIntLE(0, 6), connectionId: value.toString('latin1', SESSION_BYTES) },
    );
  }

  // ---- messages between processes

  /**
   * Receives what is published to `name` (`publish`) until it is closed. `onSubscribed`: it receives from now on; what was
   * published before may be missed.
   */
  subscribe(name: string, listener: ChannelListener): { close(): void } {
    const partition = this.#channelPartition(name);
    const channel = new ProcessChannel({
      channel: channelName(name, this.map.tagOf(partition)),
      addressOf: () => this.nodeOf(partition),
      nameOf: (address) => this.#cluster.nameOf(address),
      redis: this.#options.redis,
      log: this.#options.log,
      listener,
    });
    this.onReachable((reached) => reached === partition && channel.renew());
    return channel;
  }

  /** Resolves when it was sent; it may have had no receiver. Rejects with StoreError. */
  async publish(name: string, text: string): Promise<void> {
    const partition = this.#channelPartition(name);
    const channel = channelName(name, this.map.tagOf(partition));
    await this.#cluster.callUnjudged(this.map.slotOf(partition), ['SPUBLISH', channel, text]);
  }

  #channelPartition(name: string): number {
    return sessionPartitionOf(name, this.map.partitions);
  }

  #key(partition: number): LogKeys {
    const keys = this.#keys[partition];
    if (!keys) throw new RangeError(`partition ${partition} of ${this.map.partitions}`);
    return keys;
  }

  #isConnected(waitedMs: number): boolean {
    const reachable = this.mastersReachable();
    if (reachable === 0 || !this.#cluster.complete) return false;
    return reachable === this.#cluster.owners().length || waitedMs > PARTIAL_CONNECT_MS;
  }

  /** An empty append shows that the node takes writes, as a full one does not. */
  #probe(partition: number): Argument[] {
    const { meta } = this.#key(partition);
    return this.#options.readOnly
      ? [...(this.#askForMeta[partition] as readonly Argument[])]
      : this.#functionCall('append', [meta], 0, '');
  }

  #functionCall(name: string, keys: readonly string[], ...args: readonly Argument[]): Argument[] {
    return ['FCALL', this.#functionName(name), keys.length, ...keys, this.map.hash, ...args];
  }

  #functionName(name: string): string {
    return `${name}_${this.#library.version}`;
  }

  #function(
    partition: number,
    name: string,
    keys: readonly string[],
    ...args: readonly Argument[]
  ): Promise<unknown[]> {
    return this.#call(partition, this.#functionCall(name, keys, ...args));
  }

  /** A write that is acknowledged to drivers. */
  async #promised(
    partition: number,
    name: string,
    keys: readonly string[],
    ...args: readonly Argument[]
  ): Promise<{ reply: unknown[]; replicated: Promise<boolean> | null }> {
    const call = this.#functionCall(name, keys, ...args);
    if (this.#options.durability !== 'replicated')
      return { reply: await this.#call(partition, call), replicated: null };
    const { reply, replicated } = await this.#cluster.callReplicated(this.map.slotOf(partition), call);
    return { reply: reply as unknown[], replicated };
  }

  #call(partition: number, args: readonly Argument[]): Promise<unknown[]> {
    return this.#cluster.call(this.map.slotOf(partition), args) as Promise<unknown[]>;
  }

  /** Commands on the partition's keys, with what meta says of it. */
  async #read(
    partition: number,
    ...commands: readonly (readonly Argument[])[]
  ): Promise<{ metaBefore: MetaAnswer; meta: MetaAnswer; replies: unknown[]; place: string }> {
    const askForMeta = this.#askForMeta[partition] as readonly Argument[];
    const pipeline = new Pipeline([askForMeta, ...commands, askForMeta]);
    const { reply, place } = await this.#cluster.callFrom(this.map.slotOf(partition), pipeline);
    const replies = reply as unknown[];
    const metaBefore = this.#states.read(partition, replies[0] as Lines);
    const meta = this.#states.read(partition, replies.at(-1) as Lines);
    if (!isSameData(metaBefore, meta))
      throw new StoreError('not_ready', `partition ${partition} changed meanwhile`);
    this.#checked(meta);
    return { metaBefore, meta, replies: replies.slice(1, -1), place };
  }

  #told(partition: number, reply: readonly unknown[]): ToldState {
    const state = this.#states.told(partition, reply);
    const nowMs = performance.now();
    this.#clock.heard(state.nowMs, nowMs);
    const known = this.#nodeClocks[partition];
    const node = known?.owner === state.owner ? known : { owner: state.owner, clock: new StoreClock() };
    node.clock.heard(state.nowMs, nowMs);
    this.#nodeClocks[partition] = node;
    this.#noteTerm(state);
    return state;
  }

  #noteTerm(state: LogState): void {
    const { partition, incarnation, term } = state;
    const known = this.#terms[partition];
    // The answer of a node that was replaced may come after the first of its successor.
    if (state.owner === '' || (known?.incarnation === incarnation && term <= known.term)) return;
    this.#terms[partition] = { incarnation, term };
    for (const listener of this.#termListeners) listener(state);
  }

  /** 0: this node's clock is not known. */
  #arrivalCountsUntilMs(partition: number): number {
    const clock = this.#nodeClocks[partition]?.clock;
    return clock ? Math.floor(clock.at(performance.now()) + this.#options.redis.commandTimeoutMs) : 0;
  }

  /** What is read under another map must not be taken for ours. */
  #checked(meta: MetaAnswer): void {
    if (meta.mapHash !== null && meta.mapHash !== this.map.hash) {
      throw new StoreError(
        'map_mismatch',
        `this partition was written under map ${meta.mapHash}, not ${this.map.hash}`,
      );
    }
    this.#noteTerm(meta.state);
  }

  #tell(listeners: readonly ((partition: number) => void)[], slots: readonly number[]): void {
    for (const slot of slots) {
      for (const listener of listeners) listener(this.#partitionOfSlot.get(slot) as number);
    }
  }

  #refused(slot: number, error: StoreError): void {
    const partition = this.#partitionOfSlot.get(slot);
    const node = this.#cluster.ownerOf(slot);
    this.#paced.log(`${partition} ${error.message}`, (times) =>
      this.#options.log.error(
        { partition, node, why: error.message, times },
        'the live store refuses a call',
      ),
    );
  }
}

const SESSION_BYTES = 18;

type Lines = readonly (Buffer | null)[];

/** The term and what is compacted; counts and watermark may have moved on. */
const isSameData = (before: Pick<MetaAnswer, 'termLine' | 'compacted'>, after: MetaAnswer): boolean =>
  before.termLine === after.termLine &&
  before.compacted.term === after.compacted.term &&
  before.compacted.revision === after.compacted.revision;

interface OldEntries extends MetaAnswer {
  entries: LogEntry[];
  isLast: boolean;
}

function whyNotReady(urls: readonly string[], troubles: readonly string[]): string {
  const why = troubles.length === 0 ? '' : ` (${troubles.join('; ')})`;
  return `no Redis Cluster that is ready at ${urls.join(', ')}${why}`;
}

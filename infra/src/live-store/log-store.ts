// The live store: what the services may do with a partition. A write is one call of one Lua function
// (infra/redis/log.lua states keys, arguments, answer and errors), a read is one transaction of plain commands. Each has
// one deadline; nothing is tried again here, so that the caller decides what an outage means. Rejects with StoreError.

import type { Logger } from 'pino';
import type { PartitionMap } from '../partition-map.js';
import type { Position } from '../position.js';
import { AT, BODY_BYTES, type EntryId, encodeBody, formatEntryId, parseEntryId } from '../record.js';
import { PacedLog } from '../service/paced-log.js';
import type { RedisSettings } from '../service/settings.js';
import { ClusterClient } from './cluster-client.js';
import { FunctionLoader } from './function-loader.js';
import { readLogLibrary } from './library.js';
import { type LogKeys, logKeys } from './log-keys.js';
import { type LogState, LogStateReader, META_LINES, STATE_SIZE, type ToldState } from './log-state.js';
import { Transaction } from './node-connection.js';
import type { Argument } from './prepared-command.js';
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
  /** Loads the functions where a node lacks them: the flusher's and the deployment's task alone. */
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

export interface LogEntry {
  id: EntryId;
  batch: Buffer;
}

export interface LogPage {
  state: LogState;
  /** Entries up to this id are in the snapshot alone: whoever stands before it has to look there. */
  compacted: EntryId;
  entries: LogEntry[];
  /** Which process answered. */
  place: string;
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

export interface WaitingCheckpoint {
  field: string;
  driverId: string;
  checkpointId: string;
  body: Buffer;
}

/** Another checkpoint of its id was in Postgres already. It is kept until its driver has been told. */
export interface ConflictingCheckpoint {
  field: string;
  sinceMs: number;
}

export type CheckpointStanding = 'waits' | 'gone' | 'conflict';

export interface Claim {
  driverId: string;
  /** Of the connection; no other one ever has it. */
  connectionId: string;
  /** The store's time of the connection; 0 where it claims for the first time. */
  connectedAtMs: number;
  /** What it has been given; 0: none yet. */
  session: number;
}

export interface ClaimResult {
  won: boolean;
  /** The driver's session now. */
  session: number;
  /** The connection that held the driver before, or holds it; '' for none. */
  holder: string;
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
const CONFLICT = 'conflict';
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
  readonly #partitionOfSlot = new Map<number, number>();
  readonly #library = readLogLibrary();
  readonly #options: LogStoreOptions;
  readonly #states = new LogStateReader();
  readonly #reachableListeners: ((partition: number) => void)[] = [];
  readonly #unreachableListeners: ((partition: number) => void)[] = [];
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
      this.#keys.push(logKeys(options.map.tagOf(partition)));
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
        store.close();
        const urls = options.redis.redisUrls.join(', ');
        throw new StoreError('region_unavailable', `no Redis Cluster that is ready at ${urls}`);
      }
      await new Promise((resolve) => setTimeout(resolve, CONNECT_POLL_MS));
    }
    return store;
  }

  close(): void {
    this.#cluster.close();
  }

  /** The nodes' time, as their answers tell it. */
  nowMs(): number {
    return Math.round(this.#clock.at(performance.now()));
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

  // ---- writes

  /** One entry of `count` records (record.ts). It may stand there twice where its answer was lost, which is harmless. */
  async append(partition: number, batch: Buffer, count: number): Promise<Appended> {
    const { meta, log } = this.#key(partition);
    const call = this.#functionCall('append', [meta, log], count, batch);
    if (this.#options.durability !== 'replicated')
      return { state: this.#told(partition, await this.#call(partition, call)), replicated: null };
    const { reply, replicated } = await this.#cluster.callReplicated(this.map.slotOf(partition), call);
    return { state: this.#told(partition, reply as unknown[]), replicated };
  }

  /** Says that somebody feeds this partition, where there is nothing to append. */
  async touch(partition: number): Promise<ToldState> {
    return this.#told(partition, await this.#function(partition, 'touch', [this.#key(partition).meta], 0));
  }

  /**
   * Folds entries that are at least so old into the snapshot, about 2,000 drivers at most. With a lease only if nobody
   * has it.
   */
  async compact(
    partition: number,
    minAgeMs: number,
    lease?: { holder: string; ms: number },
  ): Promise<{ state: ToldState; folded: number; isMore: boolean }> {
    const { meta, log, snapshot, compaction } = this.#key(partition);
    const keys = [meta, log, snapshot, ...(lease ? [compaction] : [])];
    const leaseArgs = lease ? [lease.holder, lease.ms] : [];
    const reply = await this.#function(partition, 'compact', keys, minAgeMs, ...leaseArgs);
    const [folded, more] = reply.slice(STATE_SIZE) as [number, number];
    return { state: this.#told(partition, reply), folded, isMore: more === 1 };
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
  ): Promise<{ state: ToldState; outcomes: CheckpointOutcome[] }> {
    const { meta, checkpoints } = this.#key(partition);
    const args: Argument[] = [AT.recordedAt + 1, AT.heading];
    for (const position of positions) {
      const body = Buffer.allocUnsafe(BODY_BYTES);
      encodeBody(position, body, 0);
      args.push(position.driverId, position.checkpointId as string, body);
    }
    const reply = await this.#function(partition, 'checkpoint', [meta, checkpoints], ...args);
    const outcomes = Array.from(String(reply[STATE_SIZE]), (letter) => OUTCOMES[letter] as CheckpointOutcome);
    return { state: this.#told(partition, reply), outcomes };
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

  /** In the partition of the drivers' sessions (`sessionPartitionOf`). */
  async claim(
    partition: number,
    claims: readonly Claim[],
  ): Promise<{ state: ToldState; results: ClaimResult[] }> {
    const { meta, sessions } = this.#key(partition);
    const args = claims.flatMap(({ driverId, connectionId, connectedAtMs, session }) => [
      driverId,
      connectionId,
      connectedAtMs,
      session,
    ]);
    const reply = await this.#function(partition, 'claim', [meta, sessions], ...args);
    const results = claims.map((_, i) => {
      const [letter, session, holder] = reply.slice(STATE_SIZE + 3 * i, STATE_SIZE + 3 * i + 3).map(String);
      return { won: letter === 'w', session: Number(session), holder: holder as string };
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

  /** Up to `count` entries after an id. */
  async entries(partition: number, after: EntryId, count: number): Promise<LogPage> {
    const { meta, log } = this.#key(partition);
    const from = `(${formatEntryId(after)}`;
    const { reply, place } = await this.#read(partition, [
      ['HMGET', meta, ...META_LINES],
      ['XRANGE', log, from, '+', 'COUNT', count],
    ]);
    const [lines, entries] = reply as [(Buffer | null)[], [Buffer, Buffer[]][]];
    const { state, compacted } = this.#meta(partition, lines);
    return { state, compacted, entries: entries.map(decodeEntry), place };
  }

  /** `cursor` null for the first page. A page of another process than page one rejects with `place_changed`. */
  async snapshot(
    partition: number,
    o: { cursor: string | null; place: string | null; pageSize: number },
  ): Promise<SnapshotPage> {
    const { meta, snapshot } = this.#key(partition);
    const { reply, place } = await this.#read(partition, [
      ['HMGET', meta, ...META_LINES],
      ['HSCAN', snapshot, o.cursor ?? '0', 'COUNT', o.pageSize],
    ]);
    if (o.cursor !== null && o.place !== place) {
      throw new StoreError('place_changed', `the snapshot was begun at ${o.place}, not ${place}`);
    }
    const [lines, [cursor, list]] = reply as [(Buffer | null)[], [Buffer, Buffer[]]];
    const values: [string, Buffer][] = [];
    for (let i = 0; i + 1 < list.length; i += 2)
      values.push([(list[i] as Buffer).toString('latin1'), list[i + 1] as Buffer]);
    const { state } = this.#meta(partition, lines);
    return { state, cursor: String(cursor) === '0' ? null : String(cursor), values, place };
  }

  /** The snapshot's values of these drivers; null: it has none. */
  async snapshotOf(partition: number, driverIds: readonly string[]): Promise<(Buffer | null)[]> {
    const { meta, snapshot } = this.#key(partition);
    const { reply } = await this.#read(partition, [
      ['HMGET', meta, ...META_LINES],
      ['HMGET', snapshot, ...driverIds],
    ]);
    const [lines, values] = reply as [(Buffer | null)[], (Buffer | null)[]];
    this.#meta(partition, lines);
    return values;
  }

  /** Of each driver, the id of the record that Postgres refused. */
  async refused(partition: number): Promise<{ state: LogState; refused: Map<string, EntryId> }> {
    const { meta, refused } = this.#key(partition);
    const { reply } = await this.#read(partition, [
      ['HMGET', meta, ...META_LINES],
      ['HGETALL', refused],
    ]);
    const [lines, list] = reply as [(Buffer | null)[], Buffer[]];
    const found = new Map<string, EntryId>();
    for (let i = 0; i + 1 < list.length; i += 2) {
      const id = parseEntryId(String(list[i + 1]));
      if (id !== null) found.set(String(list[i]), id);
    }
    return { state: this.#meta(partition, lines).state, refused: found };
  }

  async counts(partition: number): Promise<PartitionCounts> {
    const { meta, log, snapshot, checkpoints, refused } = this.#key(partition);
    const { reply } = await this.#read(partition, [
      ['HMGET', meta, ...META_LINES],
      ['TIME'],
      ['HLEN', snapshot],
      ['XLEN', log],
      ['HGET', checkpoints, '*'],
      ['HLEN', refused],
    ]);
    const [lines, time, drivers, entries, waiting, refusedCount] = reply as [
      (Buffer | null)[],
      [Buffer, Buffer],
      number,
      number,
      Buffer | null,
      number,
    ];
    const { state, mapHash, compacted } = this.#meta(partition, lines);
    const nowMs = Number(time[0]) * 1000 + Math.floor(Number(time[1]) / 1000);
    this.#clock.heard(nowMs, performance.now());
    const checkpointsWaiting = Number(waiting ?? 0);
    return {
      state,
      mapHash,
      compacted,
      nowMs,
      drivers,
      entries,
      // Where the count cannot be read, some may wait.
      checkpointsWaiting: Number.isSafeInteger(checkpointsWaiting) ? checkpointsWaiting : 1,
      refused: refusedCount,
    };
  }

  /** A page of what waits for Postgres, and of conflicts. `unreadable`: fields that are none of ours. */
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
    const { meta, checkpoints } = this.#key(partition);
    const { reply } = await this.#read(partition, [
      ['HMGET', meta, ...META_LINES],
      ['HMGET', checkpoints, ...fields],
    ]);
    const [lines, found] = reply as [(Buffer | null)[], (Buffer | null)[]];
    const standings = found.map((value): CheckpointStanding => {
      if (value === null) return 'gone';
      return isConflict(value) ? 'conflict' : 'waits';
    });
    return { state: this.#meta(partition, lines).state, standings };
  }

  /** Who holds each driver now; null: nobody does. */
  async sessions(
    partition: number,
    driverIds: readonly string[],
  ): Promise<({ session: number; connectionId: string } | null)[]> {
    const { sessions } = this.#key(partition);
    const reply = await this.#call(partition, ['HMGET', sessions, ...driverIds]);
    return (reply as (Buffer | null)[]).map((value) =>
      value === null || value.length < SESSION_BYTES
        ? null
        : { session: value.readUIntLE(0, 6), connectionId: value.toString('latin1', SESSION_BYTES) },
    );
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
      ? ['HMGET', meta, ...META_LINES]
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

  #call(partition: number, args: readonly Argument[]): Promise<unknown[]> {
    return this.#cluster.call(this.map.slotOf(partition), args) as Promise<unknown[]>;
  }

  #read(partition: number, commands: readonly (readonly Argument[])[]) {
    return this.#cluster.callFrom(this.map.slotOf(partition), new Transaction(commands));
  }

  #told(partition: number, reply: readonly unknown[]): ToldState {
    const state = this.#states.told(partition, reply);
    this.#clock.heard(state.nowMs, performance.now());
    return state;
  }

  /** What is read under another map must not be taken for ours. */
  #meta(partition: number, lines: readonly (Buffer | null)[]) {
    const read = this.#states.read(partition, lines);
    if (read.mapHash !== null && read.mapHash !== this.map.hash) {
      throw new StoreError(
        'map_mismatch',
        `this partition was written under map ${read.mapHash}, not ${this.map.hash}`,
      );
    }
    return read;
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

function pageOf(reply: readonly unknown[]): { cursor: string | null; removed: number } {
  const [cursor, removed] = reply as [Buffer, number];
  return { cursor: String(cursor) === '0' ? null : String(cursor), removed };
}

function decodeEntry([id, fields]: [Buffer, Buffer[]]): LogEntry {
  const at = fields.findIndex((field, i) => i % 2 === 0 && String(field) === 'b');
  return {
    id: parseEntryId(id.toString('latin1')) ?? { term: 0, revision: 0 },
    batch: (at < 0 ? undefined : fields[at + 1]) ?? Buffer.alloc(0),
  };
}

const isConflict = (value: Buffer): boolean => value.toString('latin1', 0, CONFLICT.length) === CONFLICT;

function decodeCheckpoints(list: readonly Buffer[]) {
  const waiting: WaitingCheckpoint[] = [];
  const conflicts: ConflictingCheckpoint[] = [];
  let unreadable = 0;
  for (let i = 0; i + 1 < list.length; i += 2) {
    const field = (list[i] as Buffer).toString('latin1');
    const value = list[i + 1] as Buffer;
    const [driverId, checkpointId, more] = field.split(':');
    if (checkpointId === undefined) continue; // a count
    const sinceMs = Number(value.toString('latin1', CONFLICT.length));
    if (isConflict(value) && Number.isSafeInteger(sinceMs)) conflicts.push({ field, sinceMs });
    else if (more === undefined && value.length === BODY_BYTES)
      waiting.push({ field, driverId: driverId as string, checkpointId, body: value });
    else unreadable++;
  }
  return { waiting, conflicts, unreadable };
}

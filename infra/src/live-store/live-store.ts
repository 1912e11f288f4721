// The live store: what the services may do with a partition. Each method is one call of one Lua function
// (infra/redis/whereabouts.lua states keys, arguments, answer and what is atomic) with one deadline; nothing is tried
// again here, so that the caller decides what an outage means. Rejects with StoreError.

import type { Logger } from 'pino';
import type { PartitionMap } from '../partition-map.js';
import { MAX_BATCH_RECORDS, type Position, PositionError, type StoredPosition } from '../position.js';
import { Arena, decodeRecord, RECORD_BYTES } from '../position-record.js';
import { PacedLog } from '../service/paced-log.js';
import type { RedisSettings } from '../service/settings.js';
import type { Health, LivePosition, Outcome, PartitionState } from './answers.js';
import * as answers from './answers.js';
import { ClusterClient } from './cluster-client.js';
import { FunctionLoader } from './function-loader.js';
import { type PartitionKeys, partitionKeys } from './keys.js';
import { readLibrary } from './library.js';
import type { Argument } from './prepared-command.js';
import { StoreClock } from './store-clock.js';
import { isFunctionMissing, StoreError } from './store-error.js';

export interface LiveStoreOptions {
  redis: RedisSettings;
  map: PartitionMap;
  log: Logger;
  /** Reports older than this do not move a driver's latest position (checkpoints may be older). */
  freshnessMs?: number;
  /** `replicated`: a write also waits until every replica of the node has it. */
  durability?: 'cache' | 'replicated';
  /** A reader takes a node for reachable that answers reads; it never writes, not even a probe. */
  readOnly?: boolean;
  /** Loads the functions where a node lacks them: the flusher's and the deployment's task alone. */
  loadsFunctions?: boolean;
  /** How long `connect` waits for the first master. */
  connectDeadlineMs?: number;
}

export interface RecordAnswer {
  state: PartitionState;
  outcomes: Outcome[];
  /** For each `superseded` one, by its index: the session that is stored. */
  storedSessions: Map<number, number>;
}

/** A store that was asked to wait for its replicas tells later whether they have it. */
export type CachedAnswer = RecordAnswer & { replicated: Promise<boolean> | null };

export interface NearQuery {
  lat: number;
  lon: number;
  radiusM: number;
  /** Where the search begins; it doubles up to radiusM. */
  startRadiusM: number;
  /** 1 to 2,000 */
  count: number;
  /** 1 to count: where so many are found, the search does not widen. */
  enough: number;
  maxAgeMs: number;
  status: 'available' | 'busy';
  /** All of these bits must be set; 0 for any. */
  services: number;
}

export interface Reading {
  health: Health;
  nowMs: number;
}

export interface NearAnswer extends Reading {
  /** Nearest first by Redis's own distance, on another radius than ours and 52-bit cells. */
  hits: LivePosition[];
  /** Over 2,000 drivers were looked at and too few of them fit. */
  truncated: boolean;
  /** In Redis's metres: radiusM, or less where enough were found within. */
  searchedM: number;
}

export interface GetAnswer extends Reading {
  /** In the order of the ids. */
  found: (LivePosition | null)[];
}

export interface Box {
  minLat: number;
  minLon: number;
  maxLat: number;
  maxLon: number;
}

export interface PartitionStatus extends PartitionState {
  health: Health;
  drivers: number;
  available: number;
  busy: number;
  flushedAtMs: number;
  accepted: number;
  acceptedSinceFlush: number;
  checkpointsWaiting: number;
}

export interface RestoreAnswer {
  restored: number;
  /** A record of their driver stood there already. */
  standing: number;
  invalid: number;
}

export interface UnflushedPage {
  cursor: string;
  rows: StoredPosition[];
  staleIds: string[];
  /** Marked by `quarantine`, and no flush has to do with them any more. */
  refused: StoredPosition[];
  /** Whose record is not one of ours. */
  unreadableIds: string[];
}

export interface WaitingCheckpoint {
  field: string;
  position: StoredPosition;
}

/** Another checkpoint of its id was in Postgres already. It is kept until its driver has been told. */
export interface ConflictingCheckpoint {
  field: string;
  sinceMs: number;
}

export type CheckpointStanding = 'waits' | 'gone' | 'conflict';

const CONNECT_DEADLINE_MS = 30_000;
const CONNECT_POLL_MS = 20;
const PARTIAL_CONNECT_MS = 1000;
const SCAN_PAGE = 1000;
/** Of drivers, in a line of the log. */
const MAX_NAMED = 5;
/** A driver's last report before this does not stand in the way of a checkpoint. */
const DEFAULT_FRESHNESS_MS = 10_000;

export class LiveStore {
  readonly map: PartitionMap;
  readonly #cluster: ClusterClient;
  readonly #keys: PartitionKeys[];
  readonly #partitionOfSlot = new Map<number, number>();
  readonly #library = readLibrary();
  readonly #options: LiveStoreOptions;
  readonly #arena = new Arena();
  readonly #states = new answers.StateReader();
  readonly #reachableListeners: ((partition: number) => void)[] = [];
  readonly #unreachableListeners: ((partition: number) => void)[] = [];
  readonly #loader: FunctionLoader;
  readonly #paced = new PacedLog();
  readonly #clock = new StoreClock();
  /** How often something was met that is not one of our records, and passed over. */
  unreadable = 0;

  private constructor(options: LiveStoreOptions) {
    this.#options = options;
    this.#loader = new FunctionLoader(this.#library.text, options.log);
    this.map = options.map;
    const slots: number[] = [];
    this.#keys = [];
    for (let partition = 0; partition < options.map.partitions; partition++) {
      const slot = options.map.slotOf(partition);
      slots.push(slot);
      this.#partitionOfSlot.set(slot, partition);
      this.#keys.push(partitionKeys(options.map.tagOf(partition)));
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
  static async connect(options: LiveStoreOptions): Promise<LiveStore> {
    const store = new LiveStore(options);
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

  /** At most 512; none probes. For each driver the newest (session, recorded at) is kept. */
  async record(
    partition: number,
    positions: readonly Position[],
  ): Promise<RecordAnswer & { isReplicated: boolean }> {
    const answer = await this.recordInCache(partition, positions);
    return { ...answer, isReplicated: (await answer.replicated) === true };
  }

  /** The same, answered as soon as the master has it. */
  async recordInCache(partition: number, positions: readonly Position[]): Promise<CachedAnswer> {
    const call = this.#recordCall(partition, positions);
    if (this.#options.durability !== 'replicated')
      return { ...this.#recorded(partition, await this.#call(partition, call)), replicated: null };
    const { reply, replicated } = await this.#cluster.callReplicated(this.map.slotOf(partition), call);
    return { ...this.#recorded(partition, reply as unknown[]), replicated };
  }

  #recorded(partition: number, reply: readonly unknown[]): RecordAnswer {
    const outcomes = answers.decodeOutcomes(reply[answers.STATE_SIZE] as Buffer);
    const storedSessions = new Map<number, number>();
    let at = answers.STATE_SIZE + 1;
    for (let i = 0; at < reply.length; i++) {
      if (outcomes[i] === 'superseded') storedSessions.set(i, reply[at++] as number);
    }
    return { state: this.#state(partition, reply), outcomes, storedSessions };
  }

  /** Says that somebody feeds this partition, where there is nothing to write. */
  async touch(partition: number): Promise<PartitionState> {
    const k = this.#key(partition);
    const keys = [k.positions, k.available, k.busy, k.meta];
    return this.#state(partition, await this.#function(partition, 'touch', keys));
  }

  async near(partition: number, q: NearQuery): Promise<NearAnswer> {
    const k = this.#key(partition);
    const keys = [k.positions, q.status === 'busy' ? k.busy : k.available, k.meta];
    const { lon, lat, radiusM, startRadiusM, count, enough, maxAgeMs, services } = q;
    const args = [lon, lat, radiusM, startRadiusM, count, enough, maxAgeMs, services];
    const reply = await this.#function(partition, 'near', keys, ...args);
    const state = this.#state(partition, reply);
    const { nowMs, flushed } = state;
    const [health, truncated, searched, ids, records] = reply.slice(answers.STATE_SIZE);
    const hits = answers.decodeJoined(ids as Buffer, records as Buffer, flushed);
    return { health: healthOf(health), nowMs, hits, truncated: truncated === 1, searchedM: Number(searched) };
  }

  /** In this one partition; who asks for a driver asks all and takes the newest. */
  async get(partition: number, ids: readonly string[]): Promise<GetAnswer> {
    const k = this.#key(partition);
    const reply = await this.#function(partition, 'get', [k.positions, k.meta], ...ids);
    const { flushed, nowMs } = this.#state(partition, reply);
    const records = reply.slice(answers.STATE_SIZE + 1) as (Buffer | null)[];
    const found = ids.map((id, i) => {
      const record = records[i];
      return record ? this.#readable(partition, () => answers.decodeLive(id, record, flushed)) : null;
    });
    return { health: healthOf(reply[answers.STATE_SIZE]), nowMs, found };
  }

  /** Some drivers on duty within the box (not across the antimeridian): the first that a bounded scan meets. */
  async live(
    partition: number,
    box: Box,
    count: number,
    maxAgeMs: number,
  ): Promise<Reading & { hits: LivePosition[]; truncated: boolean }> {
    const k = this.#key(partition);
    const edges = [box.minLat, box.minLon, box.maxLat, box.maxLon].map((degrees) =>
      Math.round(degrees * 1e7),
    );
    const reply = await this.#function(partition, 'live', [k.positions, k.meta], ...edges, count, maxAgeMs);
    const { flushed, nowMs } = this.#state(partition, reply);
    const hits = answers.decodePairs(reply.slice(answers.STATE_SIZE + 2), (id, record) =>
      answers.decodeLive(id, record, flushed),
    );
    const [health, truncated] = reply.slice(answers.STATE_SIZE);
    return { health: healthOf(health), nowMs, hits, truncated: truncated === 1 };
  }

  async status(partition: number): Promise<PartitionStatus> {
    const k = this.#key(partition);
    const keys = [k.positions, k.available, k.busy, k.meta, k.checkpoints];
    const reply = await this.#function(partition, 'status', keys);
    const [drivers, available, busy, flushedAtMs, accepted, acceptedSinceFlush, checkpointsWaiting] =
      reply.slice(answers.STATE_SIZE + 1) as [number, number, number, number, number, number, number];
    return {
      ...this.#state(partition, reply),
      health: healthOf(reply[answers.STATE_SIZE]),
      drivers,
      available,
      busy,
      flushedAtMs,
      accepted,
      acceptedSinceFlush,
      checkpointsWaiting,
    };
  }

  /** Whether checkpoints wait here: no function, for it is asked ten times a second of every partition. */
  async hasCheckpoints(partition: number): Promise<boolean> {
    return (
      (await this.#cluster.call(this.map.slotOf(partition), ['EXISTS', this.#key(partition).checkpoints])) ===
      1
    );
  }

  /** Takes the partition's lease; StoreError `leased` while another flusher has it. */
  async begin(partition: number, flusherId: string, leaseMs: number): Promise<PartitionState> {
    const k = this.#key(partition);
    return this.#state(
      partition,
      await this.#function(partition, 'begin', [k.meta, k.lease], flusherId, leaseMs),
    );
  }

  /**
   * A page of what is above the revision `since`, of what Postgres refused below it, and the ids of what `sweep` may
   * take. Begin again on `reign_changed`.
   */
  async unflushed(
    partition: number,
    o: { reign: string; since: number; cursor: string; freshBeforeMs: number; removeBeforeMs: number },
  ): Promise<UnflushedPage> {
    const k = this.#key(partition);
    const args = [o.reign, o.since, o.cursor, o.freshBeforeMs, o.removeBeforeMs, SCAN_PAGE];
    const reply = await this.#function(partition, 'unflushed', [k.positions, k.meta], ...args);
    const [cursor, rows, staleIds, refused, unreadableIds] = reply as [
      Buffer,
      Buffer[],
      Buffer[],
      Buffer[],
      Buffer[],
    ];
    this.#passedOver(partition, unreadableIds.length, unreadableIds.slice(0, MAX_NAMED).map(String));
    return {
      cursor: String(cursor),
      rows: answers.decodePairs(rows, decodeRecord),
      staleIds: staleIds.map(String),
      refused: answers.decodePairs(refused, decodeRecord),
      unreadableIds: unreadableIds.map(String),
    };
  }

  /** Moves the watermark to begin's revision, and gives the lease back. */
  async flushed(
    partition: number,
    o: { reign: string; revision: number; asOfMs: number; flusherId: string },
  ): Promise<PartitionState> {
    const k = this.#key(partition);
    const args = [o.reign, o.revision, o.asOfMs, o.flusherId];
    return this.#state(partition, await this.#function(partition, 'flushed', [k.meta, k.lease], ...args));
  }

  async release(partition: number, flusherId: string): Promise<void> {
    const args = [this.#functionName('release'), 1, this.#key(partition).lease, flusherId];
    await this.#cluster.call(this.map.slotOf(partition), ['FCALL', ...args]);
  }

  /** Takes drivers out of the answers whose record here is not newer than the one given. Returns how many. */
  async forget(
    partition: number,
    entries: readonly Pick<Position, 'driverId' | 'session' | 'recordedAtMs'>[],
  ): Promise<number> {
    return (await this.#write(partition, 'forget', orders(entries))) as number;
  }

  /** Tells apart, in the answers, who was recorded in the partition `to` since. Returns how many. */
  async moved(
    partition: number,
    to: number,
    entries: readonly Pick<Position, 'driverId' | 'session' | 'recordedAtMs'>[],
  ): Promise<number> {
    return (await this.#write(partition, 'moved', [to, ...orders(entries)])) as number;
  }

  async sweep(
    partition: number,
    ids: readonly string[],
    o: { freshBeforeMs: number; removeBeforeMs: number },
  ): Promise<{ unlisted: number; removed: number }> {
    const reply = await this.#write(partition, 'sweep', [o.freshBeforeMs, o.removeBeforeMs, ...ids]);
    const [unlisted, removed] = reply as [number, number];
    return { unlisted, removed };
  }

  /**
   * Puts back what Postgres has, at most 512, where no record stands: found by id, in no other answer, until its
   * driver reports.
   */
  async restore(partition: number, positions: readonly Position[]): Promise<RestoreAnswer> {
    const k = this.#key(partition);
    const arena = new Arena();
    for (const position of positions) arena.add(position);
    const reply = await this.#function(partition, 'restore', [k.positions, k.meta], arena.bytes());
    const [restored, standing, invalid] = reply as [number, number, number];
    return { restored, standing, invalid };
  }

  /** Marks these very records as refused by Postgres, or takes the mark back. Returns how many it still found. */
  async quarantine(
    partition: number,
    entries: readonly Pick<StoredPosition, 'driverId' | 'revision' | 'recordedAtMs'>[],
    isRefused: boolean,
  ): Promise<number> {
    const k = this.#key(partition);
    const args = entries.flatMap((entry) => [entry.driverId, entry.revision, entry.recordedAtMs]);
    const keys = [k.positions, k.meta];
    const reply: unknown = await this.#function(partition, 'quarantine', keys, isRefused ? 1 : 0, ...args);
    return reply as number;
  }

  /** Declares everything unflushed: Postgres may lack what came after `sinceMs`. */
  async rewind(partition: number, sinceMs: number): Promise<PartitionState> {
    const k = this.#key(partition);
    return this.#state(partition, await this.#function(partition, 'rewind', [k.meta], sinceMs));
  }

  async waitingCheckpoints(
    partition: number,
    limit: number,
  ): Promise<{ waiting: WaitingCheckpoint[]; conflicts: ConflictingCheckpoint[] }> {
    const k = this.#key(partition);
    const reply = await this.#function(partition, 'waiting_checkpoints', [k.checkpoints, k.meta], limit);
    this.#passedOver(partition, reply[0] as number);
    const all = answers.decodePairs(reply.slice(1), decodeCheckpoint);
    return {
      waiting: all.filter((one) => 'position' in one),
      conflicts: all.filter((one) => 'sinceMs' in one),
    };
  }

  /** Postgres has other checkpoints under these ids. */
  async checkpointsConflict(partition: number, fields: readonly string[]): Promise<void> {
    const k = this.#key(partition);
    await this.#function(partition, 'checkpoints_conflict', [k.checkpoints, k.meta], ...fields);
  }

  /** Takes out what is committed in Postgres, and conflicts that have been told. */
  async checkpointsDone(partition: number, fields: readonly string[]): Promise<void> {
    const k = this.#key(partition);
    await this.#function(partition, 'checkpoints_done', [k.checkpoints, k.meta], ...fields);
  }

  /** Under the reign that took a checkpoint, one that waits no more is in Postgres. */
  async checkpointsWaiting(
    partition: number,
    fields: readonly string[],
  ): Promise<{ state: PartitionState; waiting: CheckpointStanding[] }> {
    const k = this.#key(partition);
    const reply = await this.#function(partition, 'checkpoints_waiting', [k.checkpoints, k.meta], ...fields);
    const waiting = Array.from(
      String(reply[answers.STATE_SIZE]),
      (letter): CheckpointStanding => (letter === '1' ? 'waits' : letter === 'x' ? 'conflict' : 'gone'),
    );
    return { state: this.#state(partition, reply), waiting };
  }

  #key(partition: number): PartitionKeys {
    const keys = this.#keys[partition];
    if (!keys) throw new RangeError(`partition ${partition} of ${this.map.partitions}`);
    return keys;
  }

  #isConnected(waitedMs: number): boolean {
    const reachable = this.mastersReachable();
    if (reachable === 0 || !this.#cluster.complete) return false;
    return reachable === this.#cluster.owners().length || waitedMs > PARTIAL_CONNECT_MS;
  }

  #probe(partition: number): Argument[] {
    if (!this.#options.readOnly) return this.#recordCall(partition, []);
    const k = this.#key(partition);
    return this.#functionCall('get', [k.positions, k.meta], '-');
  }

  #functionCall(name: string, keys: readonly string[], ...args: readonly Argument[]): Argument[] {
    return ['FCALL', this.#functionName(name), keys.length, ...keys, this.map.hash, ...args];
  }

  #functionName(name: string): string {
    return `${name}_${this.#library.version}`;
  }

  #recordCall(partition: number, positions: readonly Position[]): Argument[] {
    if (positions.length > MAX_BATCH_RECORDS) {
      throw new RangeError(`${positions.length} records, at most ${MAX_BATCH_RECORDS}`);
    }
    const k = this.#key(partition);
    const keys = [k.positions, k.available, k.busy, k.meta];
    let arena = Buffer.alloc(0);
    if (positions.length > 0) {
      this.#arena.reset();
      for (const position of positions) this.#arena.add(position);
      arena = Buffer.from(this.#arena.bytes());
      if (positions.some((position) => position.checkpoint)) keys.push(k.checkpoints);
    }
    const freshnessMs = this.#options.freshnessMs ?? DEFAULT_FRESHNESS_MS;
    return this.#functionCall('record', keys, arena, freshnessMs);
  }

  #function(
    partition: number,
    name: string,
    keys: readonly string[],
    ...args: readonly Argument[]
  ): Promise<unknown[]> {
    return this.#call(partition, this.#functionCall(name, keys, ...args));
  }

  #write(partition: number, name: string, args: readonly Argument[]): Promise<unknown> {
    const k = this.#key(partition);
    return this.#function(partition, name, [k.positions, k.available, k.busy, k.meta], ...args);
  }

  #call(partition: number, args: readonly Argument[]): Promise<unknown[]> {
    return this.#cluster.call(this.map.slotOf(partition), args) as Promise<unknown[]>;
  }

  #state(partition: number, reply: readonly unknown[]): PartitionState {
    const state = this.#states.read(partition, reply);
    this.#clock.heard(state.nowMs, performance.now());
    return state;
  }

  #tell(listeners: readonly ((partition: number) => void)[], slots: readonly number[]): void {
    for (const slot of slots) {
      for (const listener of listeners) listener(this.#partitionOfSlot.get(slot) as number);
    }
  }

  #readable<T>(partition: number, decode: () => T): T | null {
    try {
      return decode();
    } catch (error) {
      if (!(error instanceof PositionError)) throw error;
      this.#passedOver(partition, 1);
      return null;
    }
  }

  #passedOver(partition: number, count: number, ids: readonly string[] = []): void {
    if (count === 0) return;
    this.unreadable += count;
    const named = ids.length === 0 ? {} : { ids };
    this.#paced.log(`unreadable in ${partition}`, () =>
      this.#options.log.error({ partition, count, ...named }, 'records that cannot be read are passed over'),
    );
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

/** id, session, recorded at of each. */
function orders(entries: readonly Pick<Position, 'driverId' | 'session' | 'recordedAtMs'>[]): Argument[] {
  return entries.flatMap((entry) => [entry.driverId, entry.session, entry.recordedAtMs]);
}

function healthOf(reply: unknown): Health {
  return String(reply) as Health;
}

const CONFLICT = 'conflict';

function decodeCheckpoint(field: string, value: Buffer): WaitingCheckpoint | ConflictingCheckpoint {
  if (value.subarray(0, CONFLICT.length).equals(Buffer.from(CONFLICT))) {
    return { field, sinceMs: Number(value.subarray(CONFLICT.length).toString('latin1')) };
  }
  const driverId = field.slice(0, field.indexOf(':'));
  const position = decodeRecord(driverId, value.subarray(0, RECORD_BYTES));
  const checkpointId = value.subarray(RECORD_BYTES).toString('latin1');
  return { field, position: { ...position, checkpointId: checkpointId === '' ? null : checkpointId } };
}

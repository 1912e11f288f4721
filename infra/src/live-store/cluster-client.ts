// The cluster as a set of plain nodes: who owns a slot, and whether that node has shown that it takes our calls.
//
//              probe answered                      topology: another owner
//   unproven ──────────────────▶ proven   any ───────────────────────────▶ that node, by its own state
//      ▲                            │
//      └── socket closed, time-out, ┘
//          or an answer that says that the node lacks something every call needs (`StoreError.ofNode`)
//
// An unproven node is sent nothing but one probe at a time: an empty write (of a reader: a read) that harms nothing and
// has no payload whose fate could be unclear. So an outage costs its region alone, and no retry storm hits the node that comes back.

import type { Logger } from 'pino';
import { addressOfUrl } from '../node-address.js';
import { PacedLog } from '../service/paced-log.js';
import type { RedisSettings } from '../service/settings.js';
import type { Argument } from './command-bytes.js';
import { NodeConnection, RedirectError, type Reply, type Request } from './node-connection.js';
import { NodeNames } from './node-names.js';
import { StoreError, type StoreErrorCode } from './store-error.js';
import { type NodeClaim, parseClusterNodes, SlotOwners } from './topology.js';

export interface ClusterOptions {
  redis: RedisSettings;
  slots: readonly number[];
  log: Logger;
  /** The call that proves that a node does what we need for this slot. */
  probeOf(slot: number): readonly Argument[];
  /** A probe was answered with an error: the node is there, but lacks something. */
  onProbeRefused?(node: NodeConnection, error: StoreError): void;
  /** A call was answered with an error that we do not know. */
  onRefused?(slot: number, error: StoreError): void;
  onReachable?(slots: readonly number[]): void;
  onUnreachable?(slots: readonly number[]): void;
}

interface Node {
  connection: NodeConnection;
  proven: boolean;
  probing: boolean;
  /** Probes that failed: each goes to another slot, so that one broken partition does not stand for its node. */
  failedProbes: number;
  /** When an answer last made it suspect. */
  lackedAtMs: number;
  asking: boolean;
  listedAtMs: number;
  /** Replicas that its cluster holds for alive. */
  replicas: number;
}

const SETTLED_POLL_MS = 1000;
const UNSETTLED_POLL_MS = 25;
const LONG_UNSETTLED_POLL_MS = 250;
const LONG_UNSETTLED_AFTER_MS = 10_000;
/** A node that no view has listed for so long is dropped. */
const UNLISTED_DROP_MS = 60_000;
/** A full node must be reached to get well, and one of another map to say so. */
const ANSWERED: readonly StoreErrorCode[] = ['overloaded', 'map_mismatch'];
/** Where probes are answered and calls are not, a node would be suspected and proven again without end. */
const LACKING_AGAIN_AFTER_MS = 1000;
/** A certificate, a password: it will not pass by itself. */
const IS_TO_BE_MENDED = /CERT|TLS|SSL|UNABLE_TO|EPROTO|WRONGPASS|NOAUTH/;

export class ClusterClient {
  readonly #options: ClusterOptions;
  readonly #owners: SlotOwners;
  readonly #nodes = new Map<string, Node>();
  readonly #names = new NodeNames();
  readonly #paced = new PacedLog();
  #unsettledSinceMs = Date.now();
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(options: ClusterOptions) {
    this.#options = options;
    this.#owners = new SlotOwners(options.slots);
    this.#round();
  }

  ownerOf(slot: number): string | null {
    return this.#owners.ownerOf(slot);
  }

  /** What the node calls itself beside its address. */
  nameOf(address: string): string | undefined {
    return this.#names.nameOf(address);
  }

  /** Why nodes could not be connected to. */
  troubles(): string[] {
    return [...this.#nodes].flatMap(([address, { connection }]) =>
      connection.trouble === null ? [] : [`${address}: ${connection.trouble}`],
    );
  }

  reachable(slot: number): boolean {
    const owner = this.#ownerNode(slot);
    return owner?.proven === true && owner.connection.ready;
  }

  /** The nodes that own a slot of ours and are proven. */
  reachableOwners(): NodeConnection[] {
    return this.#ownerNodes()
      .filter((node) => node.proven)
      .map((node) => node.connection);
  }

  owners(): NodeConnection[] {
    return this.#ownerNodes().map((node) => node.connection);
  }

  get complete(): boolean {
    return this.#owners.complete;
  }

  /** Rejects with StoreError. Follows one redirection; nothing else is tried again. */
  async call(slot: number, request: Request): Promise<Reply> {
    return (await this.callFrom(slot, request)).reply;
  }

  /** `call`, for what the node's work does not depend on: an error says nothing of the node. */
  async callUnjudged(slot: number, request: Request): Promise<Reply> {
    const owner = this.#provenOwner(slot);
    try {
      return await owner.connection.call(request);
    } catch (error) {
      if (!(error instanceof RedirectError)) throw error;
      return (await this.#follow(slot, error, request)).reply;
    }
  }

  /** `call`, and which process answered. */
  async callFrom(slot: number, request: Request): Promise<{ reply: Reply; place: string }> {
    const owner = this.#provenOwner(slot);
    try {
      const reply = await owner.connection.call(request);
      return { reply, place: owner.connection.place };
    } catch (error) {
      return this.#afterError(owner, slot, request, error);
    }
  }

  /** The same for a write; `replicated` says whether every replica of the node has it too. */
  async callReplicated(
    slot: number,
    args: readonly Argument[],
  ): Promise<{ reply: Reply; replicated: Promise<boolean> }> {
    const owner = this.#provenOwner(slot);
    try {
      const reply = await owner.connection.call(args);
      return { reply, replicated: this.#isInStep(owner, slot) };
    } catch (error) {
      const { reply } = await this.#afterError(owner, slot, args, error);
      return { reply, replicated: Promise.resolve(false) };
    }
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    for (const node of this.#nodes.values()) node.connection.close();
    this.#nodes.clear();
  }

  async #isInStep({ replicas, connection }: Node, slot: number): Promise<boolean> {
    return (
      replicas > 0 && (await connection.replicasInStep(replicas, this.#options.probeOf(slot))) >= replicas
    );
  }

  #provenOwner(slot: number): Node {
    const owner = this.#ownerNode(slot);
    if (owner?.proven) return owner;
    throw new StoreError(
      'region_unavailable',
      `${this.ownerOf(slot) ?? 'nobody'} has not shown that it answers`,
    );
  }

  /** Follows a redirection; whatever else it was is thrown. */
  #afterError(
    node: Node,
    slot: number,
    request: Request,
    error: unknown,
  ): Promise<{ reply: Reply; place: string }> {
    if (error instanceof RedirectError) return this.#follow(slot, error, request);
    this.#judge(node, slot, error);
    throw error;
  }

  #judge(node: Node, slot: number, error: unknown): void {
    if (!(error instanceof StoreError)) return;
    if (error.code === 'refused') this.#options.onRefused?.(slot, error);
    const nowMs = Date.now();
    if (!(error.ofNode || error.code === 'refused') || nowMs - node.lackedAtMs < LACKING_AGAIN_AFTER_MS)
      return;
    node.lackedAtMs = nowMs;
    if (error.ofNode) this.#suspect(node, error.message);
    else void this.#doubt(node, slot);
  }

  /** Whether an unknown error concerns the node, or only that partition: a call to another partition shows it. */
  async #doubt(node: Node, slot: number): Promise<void> {
    const others = this.#owners.slotsOf(node.connection.address).filter((each) => each !== slot);
    const other = others[Math.floor(Math.random() * others.length)];
    if (other === undefined) return;
    try {
      await node.connection.call(this.#options.probeOf(other));
    } catch (error) {
      if (error instanceof StoreError && (error.ofNode || error.code === 'refused'))
        this.#suspect(node, error.message);
    }
  }

  async #follow(
    slot: number,
    redirect: RedirectError,
    request: Request,
  ): Promise<{ reply: Reply; place: string }> {
    const address = this.#names.addressOf(redirect.address);
    const target = this.#node(address);
    if (redirect.kind === 'moved' && this.#owners.moved(slot, address, Date.now())) this.#hurry();
    try {
      const reply = await target.connection.call(request, redirect.kind === 'ask');
      return { reply, place: target.connection.place };
    } catch (error) {
      this.#judge(target, slot, error);
      if (!(error instanceof RedirectError)) throw error;
      throw new StoreError('not_ready', `slot ${slot} is moving: ${error.message}`, { cause: error });
    }
  }

  #ownerNode(slot: number): Node | undefined {
    const address = this.#owners.ownerOf(slot);
    return address === null ? undefined : this.#nodes.get(address);
  }

  #ownerNodes(): Node[] {
    return [...this.#owners.addresses()].flatMap((address) => this.#nodes.get(address) ?? []);
  }

  #node(address: string): Node {
    const known = this.#nodes.get(address);
    if (known) return known;
    if (this.#closed) throw new StoreError('region_unavailable', 'the store is closed');
    const connection = new NodeConnection(address, this.#options.redis, this.#names.nameOf(address));
    const node: Node = {
      connection,
      proven: false,
      probing: false,
      failedProbes: 0,
      lackedAtMs: 0,
      asking: false,
      listedAtMs: Date.now(),
      replicas: 0,
    };
    connection.on('closed', () => this.#suspect(node, 'connection closed'));
    connection.on('failed', (error) => this.#failed(address, error));
    connection.on('timeout', () => this.#suspect(node, 'no answer'));
    connection.on('ready', () => this.#hurry());
    this.#nodes.set(address, node);
    return node;
  }

  #suspect(node: Node, why: string): void {
    if (!node.proven || this.#closed) return;
    node.proven = false;
    const { address } = node.connection;
    const slots = this.#owners.slotsOf(address);
    this.#options.log.warn({ node: address, partitions: slots.length, why }, 'redis node suspect');
    if (slots.length > 0) this.#options.onUnreachable?.(slots);
    this.#hurry();
  }

  #hurry(): void {
    if (this.#closed) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#round(), 0);
  }

  /** One look at the cluster: what the nodes say, and a probe of every owner that is unproven. */
  #round(): void {
    if (this.#closed) return;
    const nowMs = Date.now();
    this.#keepNodes(nowMs);
    for (const node of this.#nodes.values()) void this.#look(node);
    let settled = this.#owners.complete;
    for (const node of this.#ownerNodes()) {
      if (node.proven) continue;
      settled = false;
      void this.#probe(node);
    }
    if (settled) this.#unsettledSinceMs = nowMs;
    const isLong = nowMs - this.#unsettledSinceMs > LONG_UNSETTLED_AFTER_MS;
    const pollMs = settled ? SETTLED_POLL_MS : isLong ? LONG_UNSETTLED_POLL_MS : UNSETTLED_POLL_MS;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#round(), pollMs);
  }

  #proved(node: Node, slots: readonly number[]): void {
    if (this.#closed) return;
    node.proven = true;
    this.#options.log.info({ node: node.connection.address, partitions: slots.length }, 'redis node is back');
    this.#options.onReachable?.(slots);
  }

  #keepNodes(nowMs: number): void {
    for (const [address, node] of this.#nodes) {
      if (nowMs - node.listedAtMs < UNLISTED_DROP_MS || this.#owners.slotsOf(address).length > 0) continue;
      node.connection.close();
      this.#nodes.delete(address);
      this.#names.forget(address);
    }
    if ([...this.#nodes.values()].some((node) => node.connection.ready)) return;
    for (const url of this.#options.redis.redisUrls) this.#node(addressOfUrl(url));
  }

  /** Its certificate has to be verified for that name; without TLS the name is of no matter. */
  #renamed(address: string): void {
    const node = this.#nodes.get(address);
    if (node === undefined || this.#options.redis.tls === undefined) return;
    this.#suspect(node, 'it has another name');
    node.connection.removeAllListeners();
    node.connection.close();
    this.#nodes.delete(address);
    this.#node(address);
  }

  /** Logs only what a person must mend. A node that is gone or restarts is logged when it is suspected. */
  #failed(address: string, error: Error): void {
    if (!IS_TO_BE_MENDED.test(`${(error as { code?: string }).code} ${error.message}`)) return;
    this.#paced.log(`${address} ${error.message}`, () =>
      this.#options.log.warn({ node: address, why: error.message }, 'cannot connect to a redis node'),
    );
  }

  async #look(node: Node): Promise<void> {
    if (node.asking) return;
    node.asking = true;
    try {
      const { address } = node.connection;
      const claims = parseClusterNodes(String(await node.connection.control('CLUSTER', 'NODES')), address);
      if (this.#closed) return;
      const nowMs = Date.now();
      for (const renamed of this.#names.learn(claims)) this.#renamed(renamed);
      for (const claim of claims) {
        const listed = this.#node(claim.address);
        listed.listedAtMs = nowMs;
        if (claim.master) listed.replicas = replicasOf(claim, claims);
      }
      const changed = this.#owners.believe(claims, nowMs);
      if (changed.length > 0) this.#moved(changed);
    } catch {
      // This says nothing about the cluster; the data connection shows whether the node is there.
    } finally {
      node.asking = false;
    }
  }

  #moved(slots: readonly number[]): void {
    const reachable = slots.filter((slot) => this.reachable(slot));
    this.#options.log.info(
      { partitions: slots.length, reachable: reachable.length },
      'partitions have a new owner',
    );
    if (reachable.length > 0) this.#options.onReachable?.(reachable);
    if (reachable.length < slots.length) this.#hurry();
  }

  async #probe(node: Node): Promise<void> {
    const { address } = node.connection;
    const slots = this.#owners.slotsOf(address);
    const slot = slots[node.failedProbes % slots.length];
    if (node.probing || !node.connection.ready || slot === undefined) return;
    node.probing = true;
    try {
      await node.connection.call(this.#options.probeOf(slot));
      this.#proved(node, slots);
    } catch (error) {
      if (this.#closed) return;
      if (error instanceof RedirectError && error.kind === 'moved') {
        const moved = this.#names.addressOf(error.address);
        if (this.#owners.moved(slot, moved, Date.now())) this.#node(moved);
      } else if (error instanceof StoreError) {
        if (ANSWERED.includes(error.code)) this.#proved(node, slots);
        else this.#unproven(node, error);
      }
    } finally {
      node.probing = false;
    }
  }

  #unproven(node: Node, error: StoreError): void {
    node.failedProbes++;
    if (!error.ofNode && error.code !== 'refused') return;
    const { address } = node.connection;
    this.#paced.log(`${address} ${error.message}`, () =>
      this.#options.log.warn(
        { node: address, why: error.message },
        'redis node answers, but cannot serve us',
      ),
    );
    this.#options.onProbeRefused?.(node.connection, error);
  }
}

function replicasOf(master: NodeClaim, claims: readonly NodeClaim[]): number {
  return claims.filter((claim) => claim.masterId === master.id && !claim.failing).length;
}

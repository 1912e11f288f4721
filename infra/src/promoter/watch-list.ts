// Which nodes there are, by what they say themselves, and a connection to each. A node that leaves the cluster leaves the
// list.

import { NodeNames } from '../live-store/node-names.js';
import type { NodeClaim } from '../live-store/topology.js';
import { addressOfUrl } from '../node-address.js';
import type { RedisSettings } from '../service/settings.js';
import { type Testimony, WatchedNode } from './watched-node.js';
import { isOwner } from './witnesses.js';

/** Longer than the nodes take to agree on their list. */
const UNLISTED_DROP_MS = 10_000;

export interface WatchListEvents {
  closed(address: string): void;
  ready(address: string): void;
}

export class WatchList {
  readonly #redis: RedisSettings;
  readonly #events: WatchListEvents;
  readonly #nodes = new Map<string, WatchedNode>();
  readonly #listedAtMs = new Map<string, number>();
  readonly #names = new NodeNames();
  #claims: readonly NodeClaim[] = [];
  #isClosed = false;

  constructor(redis: RedisSettings, events: WatchListEvents) {
    this.#redis = redis;
    this.#events = events;
    this.#seed();
  }

  get nodes(): WatchedNode[] {
    return [...this.#nodes.values()];
  }

  /** Those that own slots. */
  get masters(): NodeClaim[] {
    return this.#claims.filter(isOwner);
  }

  masterAt(address: string): NodeClaim | undefined {
    return this.masters.find((master) => master.address === address);
  }

  isReplica(address: string): boolean {
    return this.#claims.some((claim) => claim.address === address && claim.masterId !== null);
  }

  replicasOf(master: NodeClaim): WatchedNode[] {
    return this.#claims
      .filter(({ masterId }) => masterId === master.id)
      .map(({ address }) => this.node(address));
  }

  /** Those that could take over: in step, and linked to the cluster. */
  fitReplicasOf(master: NodeClaim): WatchedNode[] {
    const lost = new Set(
      this.#claims.filter(({ failing, linked }) => failing || !linked).map(({ address }) => address),
    );
    return this.replicasOf(master).filter(({ address, isInStep }) => isInStep && !lost.has(address));
  }

  node(address: string): WatchedNode {
    const known = this.#nodes.get(address);
    if (known) return known;
    const node = new WatchedNode(address, this.#redis, this.#names.nameOf(address));
    if (this.#isClosed) {
      node.close();
      return node;
    }
    node.on('closed', () => this.#events.closed(address));
    node.on('ready', () => this.#events.ready(address));
    this.#nodes.set(address, node);
    this.#listedAtMs.set(address, performance.now());
    return node;
  }

  /** The view of any node that is connected to most others will do: it only says who replicates whom. */
  async look(): Promise<void> {
    const views = await testimoniesOf(this.nodes);
    const best = bestView(views);
    if (best === null || this.#isClosed) return;
    this.#claims = best.claims;
    for (const renamed of this.#names.learn(best.claims)) if (this.#redis.tls) this.#drop(renamed);
    const nowMs = performance.now();
    for (const { address } of best.claims) {
      this.node(address);
      this.#listedAtMs.set(address, nowMs);
    }
    this.#dropUnlisted(nowMs);
  }

  close(): void {
    this.#isClosed = true;
    this.#claims = [];
    for (const node of this.#nodes.values()) node.close();
    this.#nodes.clear();
  }

  #drop(address: string): void {
    this.#nodes.get(address)?.close();
    this.#nodes.delete(address);
    this.#listedAtMs.delete(address);
  }

  #dropUnlisted(nowMs: number): void {
    for (const address of [...this.#nodes.keys()]) {
      if (nowMs - (this.#listedAtMs.get(address) ?? 0) < UNLISTED_DROP_MS) continue;
      this.#drop(address);
      this.#names.forget(address);
    }
    if (!this.nodes.some(({ isReady }) => isReady)) this.#seed();
  }

  #seed(): void {
    for (const url of this.#redis.redisUrls) this.node(addressOfUrl(url));
  }
}

/** Of those that answer. */
export async function testimoniesOf(nodes: readonly WatchedNode[]): Promise<Testimony[]> {
  const told = await Promise.all(nodes.map((node) => node.testimony()));
  return onePerNode(told.filter((testimony) => testimony !== null));
}

/** A node may be watched under two addresses for a while: a host name of REDIS_URL, and what the cluster calls it. */
function onePerNode(testimonies: readonly Testimony[]): Testimony[] {
  return [...new Map(testimonies.map((testimony) => [nodeOf(testimony), testimony])).values()];
}

const nodeOf = ({ claims, address }: Testimony): string => claims.find(({ myself }) => myself)?.id ?? address;

/** The newest, but not of a node that the others have forgotten: it still takes itself for a member. */
function bestView(views: readonly Testimony[]): Testimony | null {
  let best: Testimony | null = null;
  for (const view of views) {
    const isForgotten =
      views.length > 1 &&
      !views.some((other) => other !== view && other.claims.some(({ id }) => id === nodeOf(view)));
    if (isForgotten) continue;
    if (best === null || epochOf(view) > epochOf(best)) best = view;
  }
  return best;
}

const epochOf = ({ claims }: Testimony): number =>
  Math.max(-1, ...claims.map(({ configEpoch }) => configEpoch));

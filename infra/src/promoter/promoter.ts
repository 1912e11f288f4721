// Promotes a replica as soon as it is certain that its master acknowledges nothing any more, instead of waiting until
// the cluster has agreed on it (about 2.4 s at a node timeout of 1 s).
//
//   two refused connections, 50 ms apart    the process is gone        CLUSTER FAILOVER FORCE to the best replica
//   no answer for 600 ms after a time-out   frozen: our clients gave   the same
//                                           up before (300 ms)
//   back, but not yet writable              rebooted with its data     CLUSTER FAILOVER, once a replica is linked
//
// FORCE still needs the votes of most masters, so promoters can run in any number and cannot split the cluster.

import { type NodeClaim, parseClusterNodes } from '../live-store/topology.js';
import { addressOfUrl } from '../node-address.js';
import type { Logger } from '../service/log.js';
import type { Counter, Metrics } from '../service/metrics.js';
import type { RedisSettings } from '../service/settings.js';
import type { ReadinessReport } from '../service/shell.js';
import { isRefused } from './refused.js';
import { type ReplicaState, WatchedNode } from './watched-node.js';

export interface PromoterOptions {
  redis: RedisSettings;
  log: Logger;
  metrics: Metrics;
}

const LOOK_EVERY_MS = 1000;
const PING_EVERY_MS = 100;
const REFUSED_AGAIN_AFTER_MS = 50;
const FROZEN_AFTER_MS = 600;
const STEP_MS = 25;
/** A promotion that has not come about by then is left to Redis. */
const GIVE_UP_AFTER_MS = 5000;
/** A replica that was asked by force and did not get the votes is asked again. */
const ASK_AGAIN_AFTER_MS = 400;
/**
 * Masters vote once in two node timeouts for the replicas of one master, and a handover without votes holds up the
 * writes of the master meanwhile. One that was restarted takes writes by itself after 2 s: it is not worth a second try.
 */
const VOTES_AGAIN_AFTER_MS = 2500;

type Why = 'gone' | 'frozen' | 'rebooted';

export class Promoter {
  readonly #redis: RedisSettings;
  readonly #log: Logger;
  readonly #promotions: Counter<'why' | 'result'>;
  readonly #nodes = new Map<string, WatchedNode>();
  /** When a replica of its shard was last asked, of each node. */
  readonly #askedAtMs = new Map<string, number>();
  /** Masters for whom a promotion is under way. */
  readonly #underWay = new Set<string>();
  #claims: NodeClaim[] = [];
  #lookedAtMs = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor({ redis, log, metrics }: PromoterOptions) {
    this.#redis = redis;
    this.#log = log;
    this.#promotions = metrics.counter('promotions_total', {
      help: 'Replicas that were asked to take over, by why and by how it ended.',
      labelNames: ['why', 'result'],
    });
    const masters = () => this.#masters().length;
    metrics.gauge('masters', {
      help: 'Masters that are watched.',
      collect() {
        this.set(masters());
      },
    });
  }

  async start(): Promise<void> {
    for (const url of this.#redis.redisUrls) this.#watch(addressOfUrl(url));
    this.#timer = setInterval(() => this.#tick(), PING_EVERY_MS);
    this.#tick();
  }

  stop(): void {
    clearInterval(this.#timer);
    for (const node of this.#nodes.values()) node.close();
  }

  readiness(): ReadinessReport {
    const masters = this.#masters();
    const bare = masters.filter((master) => this.#replicasOf(master).length === 0);
    const reached = [...this.#nodes.values()].some((node) => node.isReady);
    return {
      ready: reached,
      checks: [
        { name: 'cluster', ok: reached, detail: `${masters.length} masters are watched` },
        { name: 'replicas', ok: bare.length === 0, detail: `masters without one: ${bare.length}` },
      ],
    };
  }

  #masters(): NodeClaim[] {
    return this.#claims.filter((claim) => claim.master && claim.slots.length > 0);
  }

  #replicasOf(master: NodeClaim): NodeClaim[] {
    return this.#claims.filter((claim) => claim.masterId === master.id);
  }

  #watch(address: string): WatchedNode {
    const known = this.#nodes.get(address);
    if (known) return known;
    const node = new WatchedNode(address, this.#redis);
    node.on('closed', () => void this.#closed(address));
    node.on('ready', () => void this.#back(address));
    this.#nodes.set(address, node);
    return node;
  }

  #tick(): void {
    const nowMs = performance.now();
    if (nowMs - this.#lookedAtMs >= LOOK_EVERY_MS) {
      this.#lookedAtMs = nowMs;
      void this.#look();
    }
    // Replicas too: one that woke up must not count as silent when it is a master again.
    for (const node of this.#nodes.values()) void node.ping();
    for (const master of this.#masters()) {
      const node = this.#watch(master.address);
      if (node.silentForMs(nowMs) >= FROZEN_AFTER_MS) void this.#promote(master, 'frozen');
    }
  }

  /** The view of any node that is connected to most others will do: it only says who replicates whom. */
  async #look(): Promise<void> {
    const views = await Promise.all([...this.#nodes.values()].map((node) => node.clusterNodes()));
    let best: NodeClaim[] = [];
    for (const { address, text } of views.filter((view) => view !== null)) {
      const claims = parseClusterNodes(text, address);
      if (epochOf(claims) > epochOf(best) || best.length === 0) best = claims;
    }
    if (best.length === 0) return;
    this.#claims = best;
    for (const claim of best) this.#watch(claim.address);
  }

  #masterAt(address: string): NodeClaim | undefined {
    return this.#masters().find((master) => master.address === address);
  }

  async #closed(address: string): Promise<void> {
    if (!this.#masterAt(address) || this.#underWay.has(address)) return;
    if (!(await isRefused(address))) return;
    await pause(REFUSED_AGAIN_AFTER_MS);
    const master = this.#masterAt(address);
    if (master && (await isRefused(address))) await this.#promote(master, 'gone');
  }

  /** A master that was restarted takes no writes for its first 2 s; its replica may at once. */
  async #back(address: string): Promise<void> {
    const master = this.#masterAt(address);
    const node = this.#nodes.get(address);
    // A frozen process takes connections too, but says nothing: only one that says so itself was restarted.
    if (!master || !node || (await node.isWritable()) !== false) return;
    if (performance.now() - (this.#askedAtMs.get(address) ?? Number.NEGATIVE_INFINITY) < VOTES_AGAIN_AFTER_MS)
      return;
    await this.#promote(master, 'rebooted', async () => (await node.isWritable()) === true);
  }

  async #promote(master: NodeClaim, why: Why, isNeedless?: () => Promise<boolean>): Promise<void> {
    if (this.#underWay.has(master.address)) return;
    const startedAtMs = performance.now();
    this.#underWay.add(master.address);
    this.#log.warn({ node: master.address, why }, 'promoting a replica');
    let result = 'gave_up';
    let askedAtMs = Number.NEGATIVE_INFINITY;
    while (performance.now() - startedAtMs < GIVE_UP_AFTER_MS) {
      if (await this.#isReplaced(master)) {
        result = 'promoted';
        break;
      }
      if (await isNeedless?.()) {
        result = 'needless';
        break;
      }
      const againMs = why === 'rebooted' ? VOTES_AGAIN_AFTER_MS : ASK_AGAIN_AFTER_MS;
      if (performance.now() - askedAtMs >= againMs && (await this.#ask(master, why))) {
        askedAtMs = performance.now();
      }
      await pause(STEP_MS);
    }
    this.#promotions.inc({ why, result });
    const tookMs = Math.round(performance.now() - startedAtMs);
    this.#log.warn({ node: master.address, why, result, tookMs }, 'promotion ended');
    // Until it is seen who is master now, the old one would be taken for another failure.
    await this.#look();
    this.#underWay.delete(master.address);
  }

  async #isReplaced(master: NodeClaim): Promise<boolean> {
    const views = await Promise.all(
      this.#replicasOf(master).map((replica) => this.#watch(replica.address).role()),
    );
    return views.includes('master');
  }

  /**
   * A handover that does not get its votes holds up the master's writes for seconds, and they are asked for once: who
   * was restarted a moment ago waits until the others have linked to it again.
   */
  async #canBeElected(replica: WatchedNode): Promise<boolean> {
    const nodes = [replica, ...this.#masters().map(({ address }) => this.#watch(address))];
    const told = await Promise.all(nodes.map((node) => node.clusterNodes()));
    const views = told.filter((view) => view !== null);
    return isHeardByMost(
      replica.address,
      new Map(views.map(({ address, text }) => [address, parseClusterNodes(text, address)])),
    );
  }

  /** Asks the replica that has most of the master's writes; returns whether there is one to ask. */
  async #ask(master: NodeClaim, why: Why): Promise<boolean> {
    const replicas = this.#replicasOf(master).map((replica) => this.#watch(replica.address));
    const states = await Promise.all(replicas.map((replica) => replica.replicaState()));
    const fit = states
      .filter((state): state is ReplicaState => state !== null && !state.syncing)
      .filter((state) => why !== 'rebooted' || state.linked)
      .sort((a, b) => b.offset - a.offset);
    const [best] = fit;
    if (!best || (why === 'rebooted' && !(await this.#canBeElected(best.node)))) return false;
    for (const { address } of [master, ...this.#replicasOf(master)])
      this.#askedAtMs.set(address, performance.now());
    await best.node.failover(why !== 'rebooted');
    return true;
  }
}

/** Whether most masters can hear that replica and be heard by it: links both ways carry the question and the vote. */
export function isHeardByMost(replica: string, views: ReadonlyMap<string, readonly NodeClaim[]>): boolean {
  const isLinked = (from: string, to: string) =>
    views.get(from)?.some(({ address, linked }) => address === to && linked) === true;
  const masters = (views.get(replica) ?? []).filter(({ master, slots }) => master && slots.length > 0);
  const voters = masters.filter(({ address }) => isLinked(replica, address) && isLinked(address, replica));
  return 2 * voters.length > masters.length;
}

function epochOf(claims: readonly NodeClaim[]): number {
  return Math.max(-1, ...claims.map((claim) => claim.configEpoch));
}

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

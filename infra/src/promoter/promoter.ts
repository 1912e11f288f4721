// Promotes a replica as soon as it is certain that its master no longer acknowledges anything, without waiting for the
// cluster to agree on that (about 2.4 s at a node timeout of 1 s).
//
//   two refused connections, 50 ms apart    the process is gone        CLUSTER FAILOVER FORCE to the best replica
//   no answer for 600 ms after a time-out,  frozen: our clients gave   the same
//   and others do not hear it either        up before (300 ms)
//   back, but not yet writable              rebooted with its data     CLUSTER FAILOVER, once a replica is linked
//
// A time-out alone may come from the network between the master and us: witnesses.ts decides which nodes have to agree.
// FORCE still needs the votes of most masters, so any number of promoters may run and cannot split the cluster.

import type { NodeClaim } from '../live-store/topology.js';
import { Backoff } from '../service/backoff.js';
import type { Logger } from '../service/log.js';
import type { Counter, Metrics } from '../service/metrics.js';
import type { RedisSettings } from '../service/settings.js';
import type { ReadinessReport } from '../service/shell.js';
import { registerNodeMetrics } from './node-metrics.js';
import { isRefused } from './refused.js';
import { testimoniesOf, WatchList } from './watch-list.js';
import type { ReplicaState, WatchedNode } from './watched-node.js';
import { isOwner, verdictOn } from './witnesses.js';

export interface PromoterOptions {
  redis: RedisSettings;
  log: Logger;
  metrics: Metrics;
}

const LOOK_EVERY_MS = 1000;
const CHECK_EVERY_MS = 100;
const REFUSED_AGAIN_AFTER_MS = 50;
const FROZEN_AFTER_MS = 600;
const STEP_MS = 25;
/** After this time a promotion is left to Redis for a while. */
const GIVE_UP_AFTER_MS = 5000;
const AFTER_GIVING_UP = { firstMs: 1000, limitMs: 10_000 };
/** A replica that was asked by force and did not get the votes is asked again. */
const ASK_AGAIN_AFTER_MS = 400;
/**
 * Masters vote only once in two node timeouts for the replicas of one master, and a handover without votes blocks the
 * master's writes meanwhile. A restarted master takes writes after 2 s by itself, so a second try is not worth it.
 */
const VOTES_AGAIN_AFTER_MS = 2500;

type Why = 'gone' | 'frozen' | 'rebooted';

export class Promoter {
  readonly #log: Logger;
  readonly #promotions: Counter<'why' | 'result'>;
  readonly #list: WatchList;
  /** When a replica of its shard was last asked, of each node. */
  readonly #askedAtMs = new Map<string, number>();
  /** Masters for whom a promotion is under way, or thought about. */
  readonly #underWay = new Set<string>();
  /** Masters that do not answer us, while no other node reports a problem with them. */
  readonly #unconfirmed = new Set<string>();
  /** Masters for whom a promotion was given up, and when it is tried again. */
  readonly #givenUp = new Map<string, Backoff>();
  #lookedAtMs = 0;
  #timer: NodeJS.Timeout | undefined;
  #isStopped = false;

  constructor({ redis, log, metrics }: PromoterOptions) {
    this.#log = log;
    this.#list = new WatchList(redis, {
      closed: (address) => void this.#closed(address),
      ready: (address) => void this.#back(address),
    });
    this.#promotions = metrics.counter('promotions_total', {
      help: 'Replicas that were asked to take over, by why and by how it ended.',
      labelNames: ['why', 'result'],
    });
    const gauge = (name: string, help: string, read: () => number) =>
      metrics.gauge(name, {
        help,
        collect() {
          this.set(read());
        },
      });
    registerNodeMetrics(metrics, this.#list);
    gauge('nodes', 'Nodes that are watched, replicas too.', () => this.#list.nodes.length);
    gauge('masters', 'Masters that are watched.', () => this.#list.masters.length);
    gauge(
      'masters_without_replica',
      'Masters none of whose replicas could take over now.',
      () => this.#bare().length,
    );
    gauge(
      'masters_given_up',
      'Masters that are away, and for whom no replica could be promoted.',
      () => this.#givenUp.size,
    );
    gauge(
      'masters_unconfirmed',
      'Masters that do not answer the promoter, while others hear them.',
      () => this.#unconfirmed.size,
    );
  }

  async start(): Promise<void> {
    this.#timer = setInterval(() => this.#tick(), CHECK_EVERY_MS);
    this.#tick();
  }

  stop(): void {
    this.#isStopped = true;
    clearInterval(this.#timer);
    this.#list.close();
  }

  /** Ready as long as it sees any node: a restart would not help. */
  readiness(): ReadinessReport {
    const masters = this.#list.masters.length;
    const [bare, givenUp, unconfirmed] = [this.#bare(), [...this.#givenUp.keys()], [...this.#unconfirmed]];
    const reached = this.#list.nodes.some((node) => node.isReady);
    const check = (name: string, what: string, addresses: readonly string[]) => {
      const named = addresses.length === 0 ? '' : ` (${addresses.join(', ')})`;
      return { name, ok: addresses.length === 0, detail: `${what}: ${addresses.length}${named}` };
    };
    return {
      ready: reached,
      checks: [
        { name: 'cluster', ok: reached, detail: `${masters} masters are watched${this.#whyNoneIsReached()}` },
        check('replicas', 'masters without one', bare),
        check('promotions', 'given up', givenUp),
        check('witnesses', 'masters that are silent to this process alone', unconfirmed),
      ],
    };
  }

  #whyNoneIsReached(): string {
    const { nodes } = this.#list;
    const trouble = nodes.some(({ isReady }) => isReady) ? undefined : nodes.find((node) => node.trouble);
    return trouble === undefined ? '' : `; ${trouble.address}: ${trouble.trouble}`;
  }

  /** Masters without a replica that could take over. */
  #bare(): string[] {
    return this.#list.masters
      .filter((master) => this.#list.fitReplicasOf(master).length === 0)
      .map(({ address }) => address);
  }

  #tick(): void {
    const nowMs = performance.now();
    if (nowMs - this.#lookedAtMs >= LOOK_EVERY_MS) {
      this.#lookedAtMs = nowMs;
      void this.#look();
    }
    // Replicas too: one that woke up must not count as silent when it is a master again.
    for (const node of this.#list.nodes) void node.check(this.#list.isReplica(node.address));
    for (const master of this.#list.masters) {
      const silentForMs = this.#list.node(master.address).silentForMs(nowMs);
      if (silentForMs >= FROZEN_AFTER_MS) void this.#silent(master);
      else if (silentForMs === 0) this.#unconfirmed.delete(master.address);
    }
  }

  async #look(): Promise<void> {
    await this.#list.look();
    for (const address of this.#givenUp.keys()) {
      const master = this.#list.masterAt(address);
      // Redis has replaced it meanwhile, or it is back.
      if (!master || (await this.#list.node(address).isWritable())) this.#givenUp.delete(address);
    }
    for (const address of this.#unconfirmed)
      if (!this.#list.masterAt(address)) this.#unconfirmed.delete(address);
  }

  /** Asks the others before anybody is promoted. */
  async #silent(master: NodeClaim): Promise<void> {
    const { address } = master;
    if (!this.#mayBegin(address)) return;
    this.#underWay.add(address);
    const askedAtMs = performance.now();
    const answering = this.#list.nodes.filter((node) => node.silentForMs(askedAtMs) === 0);
    const testimonies = await testimoniesOf(answering);
    const nowMs = performance.now();
    const hasStopped = this.#list
      .replicasOf(master)
      .some((replica) => replica.isInStep && replica.offsets.hasStopped(nowMs));
    const verdict = verdictOn(master, testimonies, hasStopped);
    this.#underWay.delete(address);
    if (verdict === 'frozen') {
      const node = this.#list.node(address);
      await this.#promote(master, 'frozen', async () => node.silentForMs(performance.now()) === 0);
      return;
    }
    if (this.#unconfirmed.has(address)) return;
    this.#unconfirmed.add(address);
    this.#log.warn({ node: address, verdict }, 'a master does not answer us alone: nobody is promoted');
  }

  #mayBegin(address: string): boolean {
    return !this.#underWay.has(address) && (this.#givenUp.get(address)?.mayTry(performance.now()) ?? true);
  }

  async #closed(address: string): Promise<void> {
    if (!this.#list.masterAt(address) || !this.#mayBegin(address)) return;
    if (!(await isRefused(address))) return;
    await pause(REFUSED_AGAIN_AFTER_MS);
    const master = this.#list.masterAt(address);
    if (master && (await isRefused(address))) await this.#promote(master, 'gone');
  }

  /** A master that was restarted takes no writes for its first 2 s; its replica may at once. */
  async #back(address: string): Promise<void> {
    this.#backForMaster(address);
    const master = this.#list.masterAt(address);
    const node = this.#list.node(address);
    // A frozen process takes connections too, but says nothing: only one that says so itself was restarted.
    if (!master || (await node.isWritable()) !== false) return;
    if (performance.now() - (this.#askedAtMs.get(address) ?? Number.NEGATIVE_INFINITY) < VOTES_AGAIN_AFTER_MS)
      return;
    await this.#promote(master, 'rebooted', async () => (await node.isWritable()) === true);
  }

  /** A replica is back whose master was given up: there is somebody to promote again. */
  #backForMaster(address: string): void {
    for (const master of this.#list.masters) {
      if (!this.#list.replicasOf(master).some((replica) => replica.address === address)) continue;
      if (!this.#givenUp.has(master.address)) continue;
      this.#givenUp.get(master.address)?.succeeded();
      void this.#closed(master.address);
    }
  }

  async #promote(master: NodeClaim, why: Why, isNeedless?: () => Promise<boolean>): Promise<void> {
    const { address } = master;
    if (!this.#mayBegin(address)) return;
    const startedAtMs = performance.now();
    this.#underWay.add(address);
    this.#unconfirmed.delete(address);
    this.#log.warn({ node: address, why }, 'promoting a replica');
    let result = 'gave_up';
    let askedAtMs = Number.NEGATIVE_INFINITY;
    while (!this.#isStopped && performance.now() - startedAtMs < GIVE_UP_AFTER_MS) {
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
    if (this.#isStopped) return;
    this.#ended(address, why, result, Math.round(performance.now() - startedAtMs));
    // Until the new master is seen, the old one would count as another failure.
    await this.#look();
    this.#underWay.delete(address);
  }

  #ended(node: string, why: Why, result: string, tookMs: number): void {
    this.#promotions.inc({ why, result });
    if (result === 'gave_up') {
      const wait = this.#givenUp.get(node) ?? new Backoff(AFTER_GIVING_UP);
      wait.failed(performance.now());
      this.#givenUp.set(node, wait);
      this.#log.error({ node, why, tookMs }, 'no replica could be promoted: its region stays dark');
      return;
    }
    this.#givenUp.delete(node);
    this.#log.warn({ node, why, result, tookMs }, 'promotion ended');
  }

  async #isReplaced(master: NodeClaim): Promise<boolean> {
    const views = await Promise.all(this.#list.replicasOf(master).map((replica) => replica.role()));
    return views.includes('master');
  }

  /**
   * A handover that does not get its votes holds up the master's writes for seconds, and they are asked for once: who
   * was restarted a moment ago waits until the others have linked to it again.
   */
  async #canBeElected(replica: WatchedNode): Promise<boolean> {
    const nodes = [replica, ...this.#list.masters.map(({ address }) => this.#list.node(address))];
    const testimonies = await testimoniesOf(nodes);
    return isHeardByMost(
      replica.address,
      new Map(testimonies.map(({ address, claims }) => [address, claims])),
    );
  }

  /** Asks the replica that has most of the master's writes; returns whether there is one to ask. */
  async #ask(master: NodeClaim, why: Why): Promise<boolean> {
    const replicas = this.#list.replicasOf(master);
    const states = await Promise.all(replicas.map((replica) => replica.replicaState()));
    const fit = states
      .filter((state): state is ReplicaState => state !== null && !state.syncing)
      .filter((state) => why !== 'rebooted' || state.linked)
      .sort((a, b) => b.offset - a.offset);
    const [best] = fit;
    if (!best || (why === 'rebooted' && !(await this.#canBeElected(best.node)))) return false;
    for (const { address } of [master, ...replicas]) this.#askedAtMs.set(address, performance.now());
    await best.node.failover(why !== 'rebooted');
    return true;
  }
}

/** Whether most masters have links with that replica in both directions: one for its request, one for their vote. */
export function isHeardByMost(replica: string, views: ReadonlyMap<string, readonly NodeClaim[]>): boolean {
  const isLinked = (from: string, to: string) =>
    views.get(from)?.some(({ address, linked }) => address === to && linked) === true;
  const masters = (views.get(replica) ?? []).filter(isOwner);
  const voters = masters.filter(({ address }) => isLinked(replica, address) && isLinked(address, replica));
  return 2 * voters.length > masters.length;
}

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

// The whole stack, started in order and stopped in the reverse order:
//
//   Redis ─▶ functions ─▶ Postgres ─▶ query-api ─▶ flusher ─▶ ingest ─▶ promoter ─▶ fleet
//
//  So at the end the drivers go first, ingest writes what it holds, the flusher brings all of it to Postgres, and the
// servers go last. Each finished step records how to undo it; a stop in the middle undoes the finished ones.
import { mkdirSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { type NetworkNamespace, removeStrayNamespaces } from '@whereabouts/infra/local/network-namespace';
import type { PostgresServer } from '@whereabouts/infra/local/postgres-server';
import type { RedisCluster } from '@whereabouts/infra/local/redis-servers';
import { childPids } from '@whereabouts/infra/local/server-process';
import { START_SCRIPT } from '../home.js';
import { type Observers, startObservers } from '../observe/observers.js';
import { removeStack, type Stack, writeStack } from '../stack-file.js';
import { type BestEffort, bestEffort } from './best-effort.js';
import { loadFunctions, makeCacheNamespace, startCache } from './cache.js';
import { migrateGiven, migrateOwn, startDatabase } from './database.js';
import type { Narrator } from './narrator.js';
import type { StackOptions } from './options.js';
import { OwnProcesses } from './own-processes.js';
import { type ChosenMap, choosePartitionMap, isOfOtherMap, stampCache } from './partition-map-source.js';
import { waitUntilComplete, waitUntilReady } from './readiness.js';
import { type StackSecrets, stackSecrets } from './secrets.js';
import { ServerWatch } from './server-watch.js';
import { HOST, type StackAddresses } from './service-env.js';
import { fleetSpecs, type ServiceName, serviceSpec } from './services.js';
import { describeStack } from './stack-description.js';
import { type ChosenPorts, chooseStackPorts, type StackPorts } from './stack-ports.js';
import { type ChildSpec, StackProcess } from './stack-process.js';
import { postgresProcess, redisProcess } from './stack-servers.js';
import { UndoList } from './undo-list.js';

/** When we are killed the services drain by themselves; until then Redis and Postgres must stay up. */
const ORPHAN_GRACE_S = 15;

const OBSERVER_STOP_MS = 5_000;

/** The request to stop came before everything was up. */
class StoppedEarly extends Error {}

interface Servers {
  cluster: RedisCluster;
  postgres: PostgresServer | null;
  databaseUrl: string;
}

export class RunningStack {
  readonly #options: StackOptions;
  readonly #narrator: Narrator;
  readonly #home: string;
  readonly #logsDir: string;
  readonly #cacheDir: string;
  readonly #own: OwnProcesses;
  readonly #attempt: BestEffort;
  readonly #undo = new UndoList();
  readonly #children = new Map<string, StackProcess>();
  #stack: Stack | undefined;
  /** Of stack.json. */
  #published = '';
  #servers: ServerWatch | undefined;
  #stopping = false;
  #releasePorts = () => {};

  constructor(options: StackOptions, narrator: Narrator, home: string) {
    this.#options = options;
    this.#narrator = narrator;
    this.#home = home;
    this.#logsDir = join(home, 'logs');
    this.#cacheDir = join(home, 'redis-cluster');
    const trouble = (text: string) => this.#say(text, 'trouble');
    this.#own = new OwnProcesses(home, trouble);
    this.#attempt = bestEffort(trouble);
  }

  get stopping(): boolean {
    return this.#stopping;
  }

  /** The current step runs to its end, then `start` rejects. */
  wishToStop(): void {
    this.#stopping = true;
  }

  /** Resolves with the stack once the services are ready, or with null if the stop came first. */
  async start(): Promise<Stack | null> {
    try {
      const stack = await this.#start();
      for (const child of this.#children.values()) child.settle();
      return stack;
    } catch (error) {
      if (error instanceof StoppedEarly) return null;
      throw error;
    }
  }

  /** Marks the stack as ready once every partition answers. */
  async waitUntilComplete(): Promise<boolean> {
    const stack = this.#stack as Stack;
    const complete = await waitUntilComplete(stack, () => this.#stopping);
    stack.ready ||= complete;
    this.#publish();
    return complete;
  }

  /** The drivers, once the services are there. */
  startFleet(): void {
    for (const spec of fleetSpecs(this.#options)) this.#up(spec).settle();
  }

  async stop(): Promise<boolean> {
    this.#stopping = true;
    this.#say('Stopping:', 'stopping');
    this.#servers?.close();
    await this.#servers?.settled();
    const clean = await this.#undo.undoAll((text, event) => this.#say(text, event));
    await this.#own.stopRest();
    removeStack(this.#home);
    this.#own.clear();
    this.#releasePorts();
    return clean;
  }

  /** A second Ctrl-C: nothing drains. */
  force(): void {
    this.#undo.forceAll();
    this.#servers?.close();
    removeStack(this.#home);
    this.#releasePorts();
  }

  async #start(): Promise<Stack> {
    mkdirSync(this.#logsDir, { recursive: true });
    await this.#own.stopStrays((text) => this.#say(text, 'stray'));
    await removeStrayNamespaces();
    if (this.#options.fresh) await this.#forget();
    const chosen = await this.#chooseMap();
    const secrets = stackSecrets(this.#home, (text) => this.#say(text, 'damaged'));
    const redisNodes = this.#options.redisMasters * (1 + this.#options.replicas);
    const chosenPorts = await chooseStackPorts(redisNodes, START_SCRIPT);
    const { ports, replaced } = chosenPorts;
    this.#releasePorts = chosenPorts.release;
    if (replaced.length > 0) this.#say(`Taken ports are replaced: ${replaced.join(', ')}`, 'ports');
    this.#check();
    const servers = await this.#startServers(chosen, secrets, ports);
    const addresses: StackAddresses = {
      ports,
      secrets,
      redisUrls: servers.cluster.urls,
      partitionMapFile: chosen.file,
      databaseUrl: servers.databaseUrl,
    };
    this.#say('Starting query-api, flusher and ingest ...', 'starting');
    await this.#startService('query', addresses, ports.queryOps);
    await this.#startService('flusher', addresses, ports.flusherOps);
    await this.#startService('ingest', addresses, ports.ingestOps);
    // Started last and stopped first: Redis nodes that we stop are no failure.
    if (this.#options.promoter) await this.#startService('promoter', addresses, ports.promoterOps);
    const stack = describeStack(addresses, servers.cluster.nodes, servers.postgres?.pid ?? null);
    if (this.#options.promoter) stack.promoter = { ops: `http://${HOST}:${ports.promoterOps}`, pid: 0 };
    if (this.#options.observe) stack.observe = await this.#observe(stack, chosenPorts.more);
    this.#check();
    this.#stack = stack;
    this.#servers = await ServerWatch.open({
      home: this.#home,
      stack,
      cluster: servers.cluster,
      postgres: servers.postgres,
      own: this.#own,
      stopping: () => this.#stopping,
      say: (text, event, details) => this.#stopping || this.#narrator.say(text, event, details),
    });
    this.#publish();
    return stack;
  }

  async #chooseMap(): Promise<ChosenMap> {
    const chosen = await choosePartitionMap(this.#options, this.#home);
    const { map, origin, notes } = chosen;
    for (const note of notes) this.#say(note, 'trace');
    this.#say(`Partition map ${map.hash}: ${map.partitions} partitions, from ${origin}`, 'partition_map');
    if (isOfOtherMap(this.#cacheDir, map)) {
      const text = 'It is another map than before: the cache begins anew (the archive in Postgres stays).';
      this.#say(text, 'cache_anew');
    }
    return chosen;
  }

  async #startServers(chosen: ChosenMap, secrets: StackSecrets, ports: StackPorts): Promise<Servers> {
    const { redisMasters, replicas, fresh } = this.#options;
    const orphanGraceS = ORPHAN_GRACE_S;
    const say = (text: string) => this.#say(text, 'starting');
    say(`Starting Redis Cluster: ${redisMasters} masters, ${redisMasters * replicas} replicas ...`);
    const cluster = await startCache({
      options: this.#options,
      dir: this.#cacheDir,
      ports: ports.redis,
      namespace: await this.#makeNamespace(),
      secrets,
      orphanGraceS,
      anew: fresh || isOfOtherMap(this.#cacheDir, chosen.map),
      say,
    });
    this.#keepCluster(cluster);
    stampCache(this.#cacheDir, chosen.map);
    this.#check();
    await loadFunctions(cluster, chosen.map);
    this.#check();

    const given = process.env.DATABASE_URL;
    if (given) {
      say(`Migrating the database of DATABASE_URL ...${fresh ? ' (--fresh leaves its rows alone)' : ''}`);
      await migrateGiven(given);
      return { cluster, postgres: null, databaseUrl: given };
    }
    say('Starting Postgres ...');
    const dir = join(this.#home, 'postgres');
    const postgres = await startDatabase({ dir, port: ports.postgres, secrets, fresh, orphanGraceS, say });
    this.#keepPostgres(postgres);
    const databaseUrl = await migrateOwn(postgres, secrets);
    this.#check();
    return { cluster, postgres, databaseUrl };
  }

  /** Undone after Redis; if there is no time for that, its own guard removes it. */
  async #makeNamespace(): Promise<NetworkNamespace | null> {
    if (!this.#options.networkNamespace) return null;
    const namespace = await makeCacheNamespace();
    this.#undo.add({ what: 'network namespace', undo: () => namespace.remove() });
    return namespace;
  }

  #keepCluster(cluster: RedisCluster): void {
    for (const { pid } of cluster.nodes) this.#own.add(redisProcess(this.#home, pid));
    const force = () => {
      for (const { port } of cluster.nodes) cluster.kill(port, 'SIGKILL');
    };
    this.#undo.add({ what: 'Redis', undo: () => cluster.stop(), force });
  }

  #keepPostgres(postgres: PostgresServer): void {
    this.#own.add(postgresProcess(postgres));
    // SIGQUIT: it ends its sessions at once and recovers at the next start.
    const force = () => postgres.kill('SIGQUIT');
    this.#undo.add({ what: 'Postgres', undo: () => postgres.stop(), force });
  }

  async #observe(stack: Stack, choosePort: ChosenPorts['more']): Promise<Observers> {
    const { ingest, query, flusher, promoter } = stack;
    return startObservers({
      home: this.#home,
      logsDir: this.#logsDir,
      scraped: {
        ingest: ingest.ops,
        query: query.ops,
        flusher: flusher.ops,
        promoter: promoter?.ops ?? null,
      },
      choosePort,
      say: (text) => this.#say(text, 'observe'),
      started: (name, dir, server) => {
        this.#own.add({ pid: server.pid, marker: dir, name, signal: 'SIGTERM' });
        void server.exited.then(() => this.#stopping || this.#say(`${name} has ended.`, 'observe'));
        const force = () => server.kill('SIGKILL');
        this.#undo.add({ what: name, undo: () => server.stop(OBSERVER_STOP_MS), force });
      },
    });
  }

  async #startService(service: ServiceName, addresses: StackAddresses, opsPort: number): Promise<void> {
    const child = this.#up(serviceSpec(service, addresses));
    await waitUntilReady(child, `http://${HOST}:${opsPort}`, () => this.#stopping);
    this.#check();
  }

  #up(spec: ChildSpec): StackProcess {
    const child = new StackProcess(spec, {
      logsDir: this.#logsDir,
      own: this.#own,
      say: (text, event, details) => this.#narrator.say(text, event, details),
    });
    this.#children.set(spec.name, child);
    const undo = async () => {
      if (!(await child.stop())) throw new Error(`did not drain in time; see ${child.logFile}`);
    };
    this.#undo.add({ what: spec.name, undo, force: () => child.kill('SIGKILL') });
    child.up();
    return child;
  }

  /** Checks the servers, and rewrites stack.json if something has changed. */
  refresh(): void {
    this.#servers?.look();
    this.#publish();
  }

  /** What is dark or down; empty while all is well. */
  troubles(): string[] {
    return this.#servers?.troubles() ?? [];
  }

  #fillPids(stack: Stack): void {
    const pid = (name: string) => this.#children.get(name)?.pid ?? 0;
    // With INGEST_PROCESSES the children serve the drivers, and the parent only watches over them.
    const serving = childPids(pid('ingest'));
    stack.ingest.pids = serving.length > 0 ? serving : [pid('ingest')];
    stack.query.pid = pid('query-api');
    stack.flusher.pid = pid('flusher');
    if (stack.promoter !== null) stack.promoter.pid = pid('promoter');
    // Of one that is down, the last.
    stack.postgres.pid = this.#servers?.postgresPid() ?? stack.postgres.pid;
  }

  #publish(): void {
    const stack = this.#stack;
    if (stack === undefined || this.#stopping) return;
    this.#fillPids(stack);
    const text = JSON.stringify(stack);
    if (text === this.#published) return;
    if (this.#attempt('stack.json', () => writeStack(stack, this.#home))) this.#published = text;
  }

  async #forget(): Promise<void> {
    for (const name of ['partition-map.json', 'partition-map.origin', 'passwords.json', 'jwt-secret']) {
      await rm(join(this.#home, name), { force: true });
    }
  }

  #say(text: string, event: string): void {
    this.#narrator.say(text, event);
  }

  #check(): void {
    if (this.#stopping) throw new StoppedEarly();
  }
}

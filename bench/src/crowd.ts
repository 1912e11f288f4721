// Groups of drivers on a stack, who join and leave, and the load that it was seen to carry.
import { scrape, total } from '@whereabouts/scripts/stack/scrape';
import { readSecret, type Stack } from '@whereabouts/scripts/stack-file';
import { Load } from './load/load.js';
import type { AckedReports, WorkerTask } from './load/load-worker.js';
import type { Place } from './load/places.js';
import { INTERVAL_MS, ingestCounts, redisPids, sleep } from './measured-load.js';
import { cpuS, treeCpuS } from './process-cpu.js';

/** One load process each. */
export const GROUP = 6_000;
/** Acknowledged report by report, to show how long it takes: the others' acknowledgements may wait. */
export const PROBES = 500;
const PROBE_ADDRESS = 100;
const CONNECT_DEADLINE_MS = 90_000;
const LOOK_EVERY_S = 5;

export interface CrowdFigures {
  drivers: number;
  storedPerS: number;
  sentPerS: number;
  ackP99Ms: number;
  /** The greatest value seen. */
  lossWindowS: number;
  nacks: number;
  closed: number;
  /** Cores that each part kept busy. */
  cores: Record<string, number>;
}

export class Crowd {
  readonly groups: Load[] = [];
  readonly #stack: Stack;
  readonly #places: readonly Place[];
  readonly #task: Omit<WorkerTask, 'localAddress' | 'drivers' | 'ack'>;
  readonly #probes: Load;

  constructor(stack: Stack, places: readonly Place[]) {
    const { issuer, audience } = stack.auth;
    this.#stack = stack;
    this.#places = places;
    this.#task = {
      host: '127.0.0.1',
      port: Number(new URL(stack.ingest.url).port),
      auth: { secret: readSecret(stack), issuer, audience: audience.ingest },
      format: 'bin',
      intervalMs: INTERVAL_MS,
    };
    const drivers = places.slice(0, PROBES);
    this.#probes = new Load({ ...this.#task, drivers, ack: 'each' }, 1, PROBE_ADDRESS);
  }

  get size(): number {
    return PROBES + this.groups.length * GROUP;
  }

  get #loads(): Load[] {
    return [this.#probes, ...this.groups];
  }

  async join(): Promise<void> {
    const drivers = this.#places.slice(this.size, this.size + GROUP);
    const group = new Load({ ...this.#task, drivers, ack: 'sparse' }, 1, this.groups.length + 2);
    this.groups.push(group);
    await group.connected(CONNECT_DEADLINE_MS);
  }

  async leave(): Promise<void> {
    await this.groups.pop()?.stop();
  }

  async stop(): Promise<void> {
    await Promise.all(this.#loads.map((load) => load.stop()));
  }

  async look(seconds: number): Promise<CrowdFigures> {
    this.#probes.clearLatencies();
    const before = await this.#counts();
    let lossWindowS = 0;
    for (let s = 0; s < seconds; s += LOOK_EVERY_S) {
      await sleep(1000 * Math.min(LOOK_EVERY_S, seconds - s));
      lossWindowS = Math.max(lossWindowS, await this.#lossWindowS());
    }
    const after = await this.#counts();
    const tookS = (after.atMs - before.atMs) / 1000;
    const { latencies } = await this.#probes.snapshot();
    return {
      drivers: this.size,
      storedPerS: (after.stored - before.stored) / tookS,
      sentPerS: (after.sent - before.sent) / tookS,
      ackP99Ms: latencies.quantile(0.99) ?? Number.NaN,
      lossWindowS,
      nacks: after.nacks - before.nacks,
      closed: after.closed - before.closed,
      cores: Object.fromEntries(
        Object.entries(after.cpuS).map(([part, cpu]) => [part, (cpu - (before.cpuS[part] ?? 0)) / tookS]),
      ),
    };
  }

  async acked(): Promise<AckedReports> {
    const all = await Promise.all(this.#loads.map((load) => load.acked()));
    return Object.assign({}, ...all);
  }

  async #counts() {
    const loads = this.#loads;
    const { ingest, flusher, postgres } = this.#stack;
    const totals = (await Promise.all(loads.map((load) => load.snapshot()))).map((one) => one.totals);
    const sum = (key: 'sent' | 'nacks' | 'closed') => totals.reduce((all, one) => all + one[key], 0);
    return {
      atMs: performance.now(),
      // The same holds for a missing loss window: without a value the promise does not count as kept.
      stored: await ingestCounts(this.#stack).then(
        ({ messages }) => messages,
        () => Number.NaN,
      ),
      sent: sum('sent'),
      nacks: sum('nacks'),
      closed: sum('closed'),
      cpuS: {
        ingest: cpuS(ingest.pids),
        masters: cpuS(redisPids(this.#stack, 'master')),
        replicas: cpuS(redisPids(this.#stack, 'replica')),
        flusher: cpuS([flusher.pid]),
        postgres: postgres.pid === null ? 0 : treeCpuS(postgres.pid),
        load: cpuS(loads.flatMap(({ pids }) => pids)),
      } as Record<string, number>,
    };
  }

  /** A flusher that has no time to answer has not shown that it keeps its budget. */
  async #lossWindowS(): Promise<number> {
    const samples = await scrape(this.#stack.flusher.ops);
    return total(samples, 'whereabouts_flusher_loss_window_seconds') ?? Number.POSITIVE_INFINITY;
  }
}

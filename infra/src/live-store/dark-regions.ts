// Which partitions are dark (they do not answer), grouped by node, and since when: for people.

import type { Metrics } from '../service/metrics.js';

export interface DarkNode {
  /** The node that owns them, as far as is known. */
  node: string;
  partitions: number;
  /** Since when the first of them is dark. */
  forMs: number;
}

export interface DarkRegionsOptions {
  partitions: number;
  nodeOf(partition: number): string | null;
  /** A clock that never steps back. */
  nowMs(): number;
}

const NO_NODE = 'no node';
/** More are counted. */
const MAX_NODES_TOLD = 10;

export class DarkRegions {
  readonly #o: DarkRegionsOptions;
  readonly #sinceMs = new Map<number, number>();

  constructor(o: DarkRegionsOptions) {
    this.#o = o;
  }

  get count(): number {
    return this.#sinceMs.size;
  }

  update(isDark: (partition: number) => boolean): void {
    const nowMs = this.#o.nowMs();
    for (let partition = 0; partition < this.#o.partitions; partition++) {
      if (!isDark(partition)) this.#sinceMs.delete(partition);
      else if (!this.#sinceMs.has(partition)) this.#sinceMs.set(partition, nowMs);
    }
  }

  /** The darkest node first. `partitions`: of these alone. */
  byNode(partitions: Iterable<number> = this.#sinceMs.keys()): DarkNode[] {
    const nowMs = this.#o.nowMs();
    const nodes = new Map<string, DarkNode>();
    for (const partition of partitions) {
      const node = this.#o.nodeOf(partition) ?? NO_NODE;
      const forMs = nowMs - (this.#sinceMs.get(partition) ?? nowMs);
      const known = nodes.get(node);
      if (known === undefined) nodes.set(node, { node, partitions: 1, forMs });
      else {
        known.partitions++;
        known.forMs = Math.max(known.forMs, forMs);
      }
    }
    return [...nodes.values()].sort((a, b) => b.partitions - a.partitions || (a.node < b.node ? -1 : 1));
  }

  get detail(): string {
    const dark = `${this.count} of ${this.#o.partitions} partitions are dark`;
    if (this.count === 0) return dark;
    const nodes = this.byNode();
    const told = nodes
      .slice(0, MAX_NODES_TOLD)
      .map(({ node, partitions, forMs }) => `${node} (${partitions}), since ${Math.round(forMs / 1000)} s`);
    if (nodes.length > MAX_NODES_TOLD) told.push(`${nodes.length - MAX_NODES_TOLD} more nodes`);
    return `${dark}: ${told.join('; ')}`;
  }

  /** One series for each node and each partition that is dark now, and none for the others. */
  register(metrics: Metrics): void {
    const o = this.#o;
    const sinceMs = this.#sinceMs;
    metrics.gauge('dark_partition_seconds', {
      help: 'Since when a partition does not answer, and the Redis node that owns it. Numbers as in /v1/partitions.',
      labelNames: ['partition', 'redis_node'],
      aggregator: 'max',
      collect() {
        this.reset();
        for (const [partition, since] of sinceMs) {
          const redis_node = o.nodeOf(partition) ?? NO_NODE;
          this.set({ partition: String(partition), redis_node }, (o.nowMs() - since) / 1000);
        }
      },
    });
    const nodes = () => this.byNode();
    metrics.gauge('dark_partitions_by_node', {
      help: 'Partitions that do not answer, by the Redis node that owns them.',
      labelNames: ['redis_node'],
      aggregator: 'max',
      collect() {
        this.reset();
        for (const { node, partitions } of nodes()) this.set({ redis_node: node }, partitions);
      },
    });
  }
}

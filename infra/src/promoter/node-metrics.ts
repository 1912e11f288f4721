// Metrics of each Redis node, as the promoter sees it: it asks every node once a second. There is one series for each node
// that the cluster lists. Memory and clock are there only while the node answers.

import type { Metrics } from '../service/metrics.js';
import type { WatchList } from './watch-list.js';
import type { NodeFacts, WatchedNode } from './watched-node.js';

export function registerNodeMetrics(metrics: Metrics, list: WatchList): void {
  const gauge = (name: string, help: string, read: (node: WatchedNode) => number | null) =>
    metrics.gauge(name, {
      help,
      labelNames: ['redis_node'],
      collect() {
        this.reset();
        for (const node of list.nodes) {
          const value = read(node);
          if (value !== null) this.set({ redis_node: node.address }, value);
        }
      },
    });
  const factGauge = (name: string, help: string, read: (facts: NodeFacts) => number) =>
    gauge(name, help, (node) => (isUp(node) && node.facts !== null ? read(node.facts) : null));
  gauge('node_up', '1 while a Redis node answers the promoter, replicas too', (node) => (isUp(node) ? 1 : 0));
  gauge('node_is_master', '1 for a Redis node that owns slots', ({ address }) =>
    list.masterAt(address) ? 1 : 0,
  );
  factGauge('node_used_memory_bytes', 'used_memory of a Redis node', (facts) => facts.usedMemoryBytes);
  factGauge(
    'node_max_memory_bytes',
    'maxmemory of a Redis node; 0: it has none',
    (facts) => facts.maxMemoryBytes,
  );
  factGauge(
    'node_clock_offset_seconds',
    "A Redis node's clock, less that of the promoter: compare the nodes with one another",
    (facts) => facts.clockOffsetMs / 1000,
  );
}

function isUp(node: WatchedNode): boolean {
  return node.isReady && node.silentForMs(performance.now()) === 0;
}

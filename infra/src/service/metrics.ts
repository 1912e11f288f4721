// Prometheus metrics of one service. The factories hold the naming rules: the service's prefix, base units,
// `_total` for counters alone, and no label that grows with the fleet.

import { readFileSync } from 'node:fs';
import {
  Counter,
  type CounterConfiguration,
  collectDefaultMetrics,
  Gauge,
  type GaugeConfiguration,
  Histogram,
  type HistogramConfiguration,
  Registry,
} from 'prom-client';
import { openFiles } from './open-files.js';

export type { Counter, Gauge, Histogram } from 'prom-client';

type Given = 'name' | 'registers';

export interface Metrics {
  readonly registry: Registry;
  /** `whereabouts_<service>_`, put before every name. */
  readonly prefix: string;
  counter<L extends string = never>(name: string, options: Omit<CounterConfiguration<L>, Given>): Counter<L>;
  gauge<L extends string = never>(name: string, options: Omit<GaugeConfiguration<L>, Given>): Gauge<L>;
  histogram<L extends string = never>(
    name: string,
    options: Omit<HistogramConfiguration<L>, Given>,
  ): Histogram<L>;
}

export class MetricError extends Error {
  readonly code = 'bad_metric';
}

const NOT_BASE_UNITS = /_(ms|millis|milliseconds|us|micros|minutes|hours|kb|kib|mb|mib|percent)(_|$)/;
// One time series for each driver or cell would overload Prometheus, and reveal where everyone is.
const UNBOUNDED_LABELS = ['id', 'driver', 'driver_id', 'session', 'geohash', 'lat', 'lon', 'request_id'];
// Gauges that prom-client calls `_total`; it has the same numbers by type under the names without it.
const MISNAMED = [
  'nodejs_active_handles_total',
  'nodejs_active_requests_total',
  'nodejs_active_resources_total',
];

export function createMetrics(service: string, build: { commit: string }): Metrics {
  const registry = new Registry();
  const prefix = `whereabouts_${service.replaceAll('-', '_')}_`;
  // Without our prefix: every dashboard knows `process_*` and `nodejs_*` by these names.
  collectDefaultMetrics({ register: registry });
  for (const name of MISNAMED) registry.removeSingleMetric(name);
  countOpenFiles(registry);

  const named = <O extends { labelNames?: readonly string[] }>(
    name: string,
    isCounter: boolean,
    options: O,
  ) => {
    checkName(name, isCounter, options.labelNames ?? []);
    return { ...options, name: prefix + name, registers: [registry] };
  };
  const metrics: Metrics = {
    registry,
    prefix,
    counter: (name, options) => new Counter(named(name, true, options)),
    gauge: (name, options) => new Gauge(named(name, false, options)),
    histogram: (name, options) => new Histogram(named(name, false, options)),
  };
  metrics
    .gauge('build_info', {
      help: 'Always 1; the labels say what is running',
      labelNames: ['version', 'commit', 'node'],
      // Of several processes that share a listener, one speaks for all.
      aggregator: 'first',
    })
    .set({ version: productVersion(), commit: build.commit, node: process.version }, 1);
  return metrics;
}

/**
 * prom-client lists the folder at each scrape, which took a sixth of the CPU of an ingest with 18,000 sockets. Since 6.2
 * Linux gives the number as the folder's size.
 */
function countOpenFiles(registry: Registry): void {
  const name = 'process_open_fds';
  if (registry.getSingleMetric(name) === undefined) return; // it has none where there is no /proc
  registry.removeSingleMetric(name);
  new Gauge({
    name,
    help: 'Number of open file descriptors.',
    registers: [registry],
    collect() {
      this.set(openFiles() ?? 0);
    },
  });
}

function checkName(name: string, isCounter: boolean, labels: readonly string[]): void {
  if (!/^[a-z][a-z0-9_]*$/.test(name)) throw new MetricError(`${name} is not lower_snake_case`);
  if (name.endsWith('_total') !== isCounter) {
    throw new MetricError(`${name}: counters end in _total, and nothing else does`);
  }
  if (NOT_BASE_UNITS.test(name)) throw new MetricError(`${name}: use base units (seconds, bytes, ratio)`);
  const unbounded = labels.find((label) => UNBOUNDED_LABELS.includes(label));
  if (unbounded) throw new MetricError(`${name}: the label ${unbounded} has no bound`);
}

/** Of all packages, and of the HTTP API. */
export function productVersion(): string {
  const text = readFileSync(new URL('../../../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}

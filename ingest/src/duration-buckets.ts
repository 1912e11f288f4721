// A histogram of durations for hot paths: an observation is a few comparisons. prom-client's own hashes labels each time.
import type { Metrics } from '@whereabouts/infra/service/metrics';
import type { Registry } from 'prom-client';

export interface DurationHistogram {
  name: string;
  help: string;
  /** The same for all observations. */
  labels?: Readonly<Record<string, string>>;
}

export class DurationBuckets {
  readonly #boundsS: readonly number[];
  /** One more than bounds: the last has what is above all of them. */
  readonly #counts: Float64Array;
  #sumMs = 0;

  constructor(boundsS: readonly number[]) {
    this.#boundsS = boundsS;
    this.#counts = new Float64Array(boundsS.length + 1);
  }

  observe(ms: number): void {
    const bounds = this.#boundsS;
    let at = 0;
    while (at < bounds.length && ms > (bounds[at] as number) * 1000) at++;
    this.#counts[at] = (this.#counts[at] as number) + 1;
    this.#sumMs += ms;
  }

  register(metrics: Metrics, { name, help, labels = {} }: DurationHistogram): void {
    const metric = { name: metrics.prefix + name, help, type: 'histogram', aggregator: 'sum' };
    // A registry asks a metric for its name and its values only, and its type says more than that.
    const source = {
      ...metric,
      get: async () => ({ ...metric, values: this.#values(metric.name, labels) }),
      reset() {},
    };
    metrics.registry.registerMetric(source as unknown as Parameters<Registry['registerMetric']>[0]);
  }

  /** In prom-client's form: cumulative buckets, then sum and count. */
  #values(name: string, labels: Readonly<Record<string, string>>) {
    let count = 0;
    const buckets = [...this.#boundsS, '+Inf' as const].map((le, i) => {
      count += this.#counts[i] as number;
      return { metricName: `${name}_bucket`, labels: { le, ...labels }, value: count };
    });
    return [
      ...buckets,
      { metricName: `${name}_sum`, labels, value: this.#sumMs / 1000 },
      { metricName: `${name}_count`, labels, value: count },
    ];
  }
}

// What the processes behind one port report to their primary: whether they are ready, and their metrics.
//
// They are plain child processes: with SO_REUSEPORT the kernel distributes the connections, so node:cluster is not
// needed. Its workers would also exit without draining when their primary is gone.
import type { ReadinessReport } from '@whereabouts/infra/service/shell';
import type { MetricObjectWithValues, MetricValue, Registry } from 'prom-client';

/** Set for the children alone: which of the processes it is, from 1 on. */
const SIBLING_ENV = 'WHEREABOUTS_INGEST_SIBLING';

export type CountedMetrics = MetricObjectWithValues<MetricValue<string>>[];

export interface Question {
  id: number;
  ask: 'readiness' | 'metrics';
}

export interface Reply {
  id: number;
  readiness?: ReadinessReport;
  metrics?: CountedMetrics;
}

export interface SiblingSources {
  registry: Registry;
  readiness(): ReadinessReport;
}

export function isSibling(): boolean {
  return process.env[SIBLING_ENV] !== undefined && process.send !== undefined;
}

/** 1 for a process without siblings. */
export function processNumber(): number {
  return Number(process.env[SIBLING_ENV] ?? 1);
}

export function siblingEnv(port: number, number: number): NodeJS.ProcessEnv {
  return { ...process.env, PORT: String(port), [SIBLING_ENV]: String(number) };
}

export function answerPrimary({ registry, readiness }: SiblingSources): void {
  process.on('message', async ({ id, ask }: Question) => {
    const reply: Reply =
      ask === 'readiness'
        ? { id, readiness: readiness() }
        : { id, metrics: await registry.getMetricsAsJSON() };
    // The primary may have gone meanwhile, which ends this process by itself.
    if (process.connected) process.send?.(reply, undefined, undefined, () => {});
  });
}

import type { Counter, Gauge, Histogram, Metrics } from '@whereabouts/infra/service/metrics';

export interface QueryMetrics {
  duration: Histogram<'route' | 'status'>;
  inFlight: Gauge;
  ghosts: Counter;
  incomplete: Counter<'reason'>;
  asks: Histogram<'route'>;
}

export function createQueryMetrics(metrics: Metrics): QueryMetrics {
  return {
    duration: metrics.histogram('request_duration_seconds', {
      help: 'From the last byte of a request to its answer, by route and class of status',
      labelNames: ['route', 'status'],
      buckets: [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1],
    }),
    inFlight: metrics.gauge('questions_in_flight', { help: 'Questions that are being answered now' }),
    ghosts: metrics.counter('ghosts_total', {
      help: 'Older records of drivers who stood in two partitions, dropped from answers',
    }),
    incomplete: metrics.counter('incomplete_answers_total', {
      help: 'Answers with something missing, by reason',
      labelNames: ['reason'],
    }),
    asks: metrics.histogram('partition_asks', {
      help: 'Partitions asked for one request',
      labelNames: ['route'],
      buckets: [1, 2, 3, 4, 6, 8, 16, 32, 64, 128, 512],
    }),
  };
}

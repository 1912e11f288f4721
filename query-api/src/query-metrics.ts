import type { Counter, Histogram, Metrics } from '@whereabouts/infra/service/metrics';

export interface QueryMetrics {
  duration: Histogram<'route' | 'status'>;
  ghosts: Counter;
  incomplete: Counter<'reason'>;
  asks: Histogram<'route'>;
  refusals: Counter<'reason'>;
  badRequests: Counter<'status'>;
  socketsLost: Counter<'reason'>;
}

export function createQueryMetrics(metrics: Metrics): QueryMetrics {
  return {
    duration: metrics.histogram('request_duration_seconds', {
      help: 'From the last byte of a request to its answer, by route and class of status',
      labelNames: ['route', 'status'],
      buckets: [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1],
    }),
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
    refusals: metrics.counter('refused_questions_total', {
      help: 'Questions refused for their number, by limit; those of one subject alone with 429',
      labelNames: ['reason'],
    }),
    badRequests: metrics.counter('bad_requests_total', {
      help: 'What never became a request, by the status it was refused with',
      labelNames: ['status'],
    }),
    socketsLost: metrics.counter('sockets_lost_total', {
      help: 'Idle sockets closed for newcomers (limit, address_limit), and newcomers refused as all were busy',
      labelNames: ['reason'],
    }),
  };
}

export function registerGauges(
  metrics: Metrics,
  read: { questionsInFlight(): number; sockets(): number },
): void {
  metrics.gauge('questions_in_flight', {
    help: 'Questions that are being answered now, by their weight',
    collect() {
      this.set(read.questionsInFlight());
    },
  });
  metrics.gauge('sockets', {
    help: 'Open sockets of callers',
    collect() {
      this.set(read.sockets());
    },
  });
}

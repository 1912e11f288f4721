import type { FollowCounts } from '@whereabouts/infra/follower/followed-partition';
import type { Counter, Histogram, Metrics } from '@whereabouts/infra/service/metrics';
import { MISSING_REASONS, type MissingReason } from './missing.js';

export interface QueryMetrics {
  duration: Histogram<'route' | 'status'>;
  incomplete: Counter<'reason'>;
  looked: Histogram<'route'>;
  refusals: Counter<'reason'>;
  badRequests: Counter<'status'>;
  streams: StreamMetrics;
  socketsLost: Counter<'reason'>;
}

/** Why a stream ended. */
export type StreamEnd = 'closed' | 'token_expired' | 'draining' | 'unread';

export interface StreamMetrics {
  refused(why: 'streams' | 'subject_streams'): void;
  events: Counter<'event'>;
  bytes: Counter;
  ended: Counter<'reason'>;
  turn: Histogram;
  late: Histogram;
}

export function createQueryMetrics(metrics: Metrics): QueryMetrics {
  const refusals = metrics.counter('refused_questions_total', {
    help: 'Questions refused for their number, by limit; those of one subject alone with 429',
    labelNames: ['reason'],
  });
  return {
    duration: metrics.histogram('request_duration_seconds', {
      help: 'From the last byte of a request to its answer, by route and class of status',
      labelNames: ['route', 'status'],
      buckets: [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1],
    }),
    incomplete: metrics.counter('incomplete_answers_total', {
      help: 'Answers with something missing, by reason',
      labelNames: ['reason'],
    }),
    looked: metrics.histogram('index_looks', {
      help: 'Points and cells of the index that one request looked at',
      labelNames: ['route'],
      buckets: [1, 10, 50, 100, 200, 500, 1_000, 5_000, 20_000, 100_000, 1_000_000],
    }),
    refusals,
    streams: createStreamMetrics(metrics, (reason) => refusals.inc({ reason })),
    badRequests: metrics.counter('bad_requests_total', {
      help: 'Input that never became a request, by the status of the refusal',
      labelNames: ['status'],
    }),
    socketsLost: metrics.counter('sockets_lost_total', {
      help: 'Idle sockets closed for newcomers (limit, address_limit), and newcomers refused because all were busy',
      labelNames: ['reason'],
    }),
  };
}

function createStreamMetrics(metrics: Metrics, refused: StreamMetrics['refused']): StreamMetrics {
  return {
    refused,
    events: metrics.counter('stream_events_total', {
      help: 'Events written to streams, by name',
      labelNames: ['event'],
    }),
    bytes: metrics.counter('stream_bytes_total', { help: 'Bytes of these events' }),
    ended: metrics.counter('streams_ended_total', {
      help: 'Streams that ended: closed by the caller, token_expired, draining, or unread for too long',
      labelNames: ['reason'],
    }),
    turn: metrics.histogram('stream_turn_duration_seconds', {
      help: 'How long each look for changes blocked everything else',
      buckets: [0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128],
    }),
    late: metrics.histogram('stream_late_seconds', {
      help: 'Lateness of the stream that was due first; above half a second there are too many streams',
      buckets: [0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10],
    }),
  };
}

/** Metrics that are read when they are asked for. */
export interface Readings {
  questionsInFlight(): number;
  questionsInFlightLimit: number;
  sockets(): number;
  socketsLimit: number;
  streams(): number;
  streamsLimit: number;
  /** By status, over the partitions that are seen. */
  drivers(): Readonly<Record<string, number>>;
  indexedDrivers(): number;
  missing(): readonly { reason: MissingReason }[];
  indexBytes(): number;
  /** Null: nothing has been read yet. */
  viewAgeMs(): number | null;
  follower: FollowCounts;
}

export function registerReadings(metrics: Metrics, read: Readings): void {
  const gauge = (name: string, help: string, value: () => number) =>
    metrics.gauge(name, {
      help,
      collect() {
        this.set(value());
      },
    });
  gauge(
    'questions_in_flight',
    'Questions that are being answered now, by their weight',
    read.questionsInFlight,
  );
  gauge(
    'questions_in_flight_limit',
    'The most of them (MAX_QUESTIONS_IN_FLIGHT)',
    () => read.questionsInFlightLimit,
  );
  gauge('sockets', 'Open sockets of callers', read.sockets);
  gauge(
    'sockets_limit',
    'The most of them: MAX_CONNECTIONS, or fewer where open files are short',
    () => read.socketsLimit,
  );
  gauge('streams', 'Open streams of nearby drivers', read.streams);
  gauge(
    'streams_limit',
    'The most of them: MAX_STREAMS, or fewer where connections are short',
    () => read.streamsLimit,
  );
  gauge('index_drivers', 'Drivers in the index', read.indexedDrivers);
  metrics.gauge('drivers', {
    help: 'Drivers in the partitions that are seen, by their last status, however old',
    labelNames: ['status'],
    collect() {
      for (const [status, count] of Object.entries(read.drivers())) this.set({ status }, count);
    },
  });
  metrics.gauge('missing_partitions', {
    help: 'Partitions that answers lack now, by reason',
    labelNames: ['reason'],
    collect() {
      for (const reason of MISSING_REASONS) this.set({ reason }, 0);
      for (const { reason } of read.missing()) this.inc({ reason });
    },
  });
  gauge('index_bytes', 'Bytes of the columns and the grid of the index, without names', read.indexBytes);
  gauge(
    'view_age_seconds',
    'Age of the oldest view of a partition that has been read; before the first one, since the start',
    () => (read.viewAgeMs() ?? performance.now()) / 1_000,
  );
  const { follower } = read;
  const counter = (name: string, help: string, value: () => number) =>
    metrics.counter(name, {
      help,
      collect() {
        this.reset();
        this.inc(value());
      },
    });
  counter('followed_records_total', 'Records that were read from logs and snapshots', () => follower.records);
  counter(
    'unreadable_records_total',
    'Records that could not be read, and were passed over',
    () => follower.unreadable,
  );
  counter('snapshots_read_total', 'Readings of a snapshot that were begun', () => follower.snapshots);
  metrics.counter('partition_breaks_total', {
    help: 'Partitions that had to be read anew, by what broke',
    labelNames: ['why'],
    collect() {
      this.reset();
      for (const [why, count] of Object.entries(follower.breaks)) this.inc({ why }, count);
    },
  });
}

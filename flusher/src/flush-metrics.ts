// The metrics of the flusher. Writes saved: positions_accepted_total - rows_written_total.

import type { Metrics } from '@whereabouts/infra/service/metrics';

export type FlushMetrics = ReturnType<typeof flushMetrics>;

export function flushMetrics(metrics: Metrics) {
  const gauge = (name: string, help: string) => metrics.gauge(name, { help });
  const counter = (name: string, help: string) => metrics.counter(name, { help });
  /** Left out until it is known: a gauge begins at 0, and a flusher that waits for Redis would raise alarms by it. */
  const unknownGauge = (name: string, help: string) => {
    const unknown = gauge(name, help);
    unknown.remove();
    return unknown;
  };
  return {
    lossWindow: unknownGauge(
      'loss_window_seconds',
      'Age of the oldest position that is in no archive yet, over all partitions that answered',
    ),
    lossWindowUnknown: gauge(
      'loss_window_unknown_partitions',
      'Partitions whose loss window is not known now',
    ),
    lossWindowAtMost: gauge(
      'loss_window_unknown_at_most_seconds',
      'The most that the loss window can be in those partitions; 0 where all answered',
    ),
    lossBudget: unknownGauge('loss_budget_seconds', 'What the loss window is to stay within'),
    lossBudgetExceeded: gauge(
      'loss_budget_exceeded',
      '1 while the loss window is above its budget, or unknown for longer than that',
    ),
    unflushed: gauge(
      'unflushed_positions',
      'Rows that wait for Postgres, at most, in the partitions that answered',
    ),
    checkpointsWaiting: gauge(
      'checkpoints_waiting',
      'Checkpoints that wait for Postgres, in the partitions that answered',
    ),
    accepted: counter('positions_accepted_total', 'Positions that the finished flushes stand for'),
    rowsScanned: counter('rows_scanned_total', 'Unflushed records that passes have read'),
    rowsWritten: counter('rows_written_total', 'Rows of driver_positions inserted or updated'),
    rowsRefused: counter(
      'rows_refused_total',
      'Positions that Postgres refused; they stay in the cache, noted, and are tried again',
    ),
    refusedTaken: counter('refused_rows_taken_total', 'Of those, taken when they were tried again'),
    refusedPositions: gauge(
      'refused_positions',
      'Positions that stand in the cache alone, as Postgres refuses them',
    ),
    refusedCheckpoints: gauge('refused_checkpoints', 'Checkpoints that wait because Postgres refuses them'),
    unreadable: gauge(
      'unreadable_records',
      'Records in the cache that are none of ours; while there is one its partition is not counted as flushed',
    ),
    batches: counter('batches_total', 'Batches handed to the archive'),
    transactions: counter('transactions_total', 'Transactions committed for them'),
    passDuration: metrics.histogram('pass_duration_seconds', {
      help: 'From the first begin of a pass to its last watermark',
      buckets: [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
    }),
    triggered: metrics.counter('triggered_total', {
      help: 'Partitions taken into a pass, by what made them due',
      labelNames: ['trigger'],
    }),
    flushed: counter('flushes_total', 'Partitions whose watermark was moved'),
    left: metrics.counter('flushes_left_total', {
      help: 'Partitions that a pass had to leave, by why',
      labelNames: ['reason'],
    }),
    rewinds: counter('rewinds_total', 'Partitions flushed anew because the archive had lost what it had'),
    swept: metrics.counter('swept_total', {
      help: 'Entries of old drivers removed from the cache: of positions and of sessions',
      labelNames: ['from'],
    }),
    compacted: counter('compacted_total', 'Positions that compaction has folded into snapshots'),
    checkpointsPersisted: counter('checkpoints_persisted_total', 'Checkpoints that stand in Postgres'),
    checkpointsConflicting: counter(
      'checkpoints_conflicting_total',
      'Checkpoints whose id Postgres had already, for another time or place',
    ),
    checkpointsRefused: counter('checkpoints_refused_total', 'Attempts at checkpoints that Postgres refuses'),
    archiveUp: unknownGauge('archive_up', '1 while Postgres takes what it is sent, 0 while backing off'),
    archiveRefuses: gauge(
      'archive_refuses',
      '1 while Postgres refuses so many rows that its tables must be wrong: none is passed over',
    ),
    archiveFailures: counter('archive_failures_total', 'Attempts that Postgres did not take'),
    deleted: metrics.counter('retention_deleted_total', {
      help: 'Rows deleted by the retention',
      labelNames: ['table'],
    }),
  };
}

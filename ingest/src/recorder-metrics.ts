// What the recorder counts. Hot counters are plain numbers, read when somebody scrapes.

import type { Outcome } from '@whereabouts/infra/live-store/answers';
import type { LossWindow } from '@whereabouts/infra/live-store/loss-window';
import type { Histogram, Metrics } from '@whereabouts/infra/service/metrics';

export interface RecorderGauges {
  pending(): number;
  darkPartitions(): number;
  refusingPartitions(): number;
  unreadableRecords(): number;
  ghosts(): number;
  checkpointsWaiting(): number;
  lossWindow: LossWindow;
  known(): number;
}

export class RecorderMetrics {
  readonly outcomes: Record<Outcome, number> = {
    accepted: 0,
    duplicate: 0,
    stale: 0,
    superseded: 0,
    clock_ahead: 0,
    bad: 0,
    too_many_checkpoints: 0,
    checkpoint_conflict: 0,
  };
  calls = 0;
  failedCalls = 0;
  lost = 0;
  healed = 0;
  unhealed = 0;
  forgotten = 0;
  checkpointsPersisted = 0;
  readonly lostAge: Histogram;

  constructor(metrics: Metrics, gauges: RecorderGauges) {
    const outcomes = this.outcomes;
    metrics.counter('positions_total', {
      help: 'Positions that the live store has answered for, by what became of them.',
      labelNames: ['outcome'],
      collect() {
        this.reset();
        for (const [outcome, count] of Object.entries(outcomes)) this.inc({ outcome }, count);
      },
    });
    const counter = (name: string, help: string, read: () => number) =>
      metrics.counter(name, {
        help,
        collect() {
          this.reset();
          this.inc(read());
        },
      });
    const gauge = (name: string, help: string, read: () => number, aggregator: 'sum' | 'max' = 'sum') =>
      metrics.gauge(name, {
        help,
        aggregator,
        collect() {
          this.set(read());
        },
      });
    counter('record_calls_total', 'Batches sent to the live store.', () => this.calls);
    counter('record_failures_total', 'Batches that came back without an answer.', () => this.failedCalls);
    counter(
      'lost_positions_total',
      "Drivers' newest acknowledged positions that a new reign lacked.",
      () => this.lost,
    );
    counter('healed_positions_total', 'Of those, recorded again by this process.', () => this.healed);
    counter(
      'unhealed_positions_total',
      'Lost positions and checkpoints that the store refuses to take again; they are dropped.',
      () => this.unhealed,
    );
    counter(
      'unreadable_records_total',
      'Records in the store that could not be read and were passed over, each time that one was met.',
      gauges.unreadableRecords,
    );
    counter(
      'forgotten_positions_total',
      'Ghosts removed behind drivers who crossed a border.',
      () => this.forgotten,
    );
    counter('checkpoints_persisted_total', 'Checkpoints seen in Postgres.', () => this.checkpointsPersisted);
    gauge('pending_reports', 'Reports that wait to be written.', gauges.pending);

    gauge(
      'refusing_partitions',
      'Partitions where the store refuses writes with an error that is not known.',
      gauges.refusingPartitions,
    );
    gauge('ghosts', 'Positions that wait to be forgotten behind a border.', gauges.ghosts);
    gauge('checkpoints_waiting', 'Checkpoints that wait for Postgres.', gauges.checkpointsWaiting);
    gauge('known_positions', 'Positions kept to be recorded again if a node loses them.', gauges.known);
    // Of several processes that look at the same partitions, the one that sees the worst speaks for all.
    const worst = (name: string, help: string, read: () => number) => gauge(name, help, read, 'max');
    const { lossWindow } = gauges;
    worst('dark_partitions', 'Partitions whose node does not take writes.', gauges.darkPartitions);
    worst(
      'loss_window_seconds',
      'Age of the oldest position that is not in Postgres, of the reachable partitions.',
      () => lossWindow.worstMs / 1000,
    );
    worst(
      'loss_window_unknown_at_most_seconds',
      'The most that the loss window can be in the partitions that cannot be reached; 0 where all can.',
      () => lossWindow.unknownMs / 1000,
    );
    worst(
      'loss_budget_exceeded',
      '1 while the loss window is above its budget, or unknown for longer than that.',
      () => (lossWindow.isExceeded ? 1 : 0),
    );
    this.lostAge = metrics.histogram('lost_position_age_seconds', {
      help: 'How old lost positions were when the loss was found.',
      buckets: [0.1, 0.5, 1, 2, 5, 10, 30, 60],
    });
  }
}

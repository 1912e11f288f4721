// What the recorder counts. Hot counters are plain numbers, read when somebody scrapes.

import type { LossWindow } from '@whereabouts/infra/live-store/loss-window';
import type { Metrics } from '@whereabouts/infra/service/metrics';
import type { Checkpoints } from './checkpoints.js';
import type { Drivers } from './drivers.js';
import type { Losses } from './losses.js';
import type { Upkeep } from './upkeep.js';

export interface RecorderSources {
  pending(): number;
  darkPartitions(): number;
  refusingPartitions(): number;
  checkpoints: Checkpoints;
  losses: Losses;
  lossWindow: LossWindow;
  drivers: Drivers;
  upkeep: Upkeep;
}

export class RecorderMetrics {
  accepted = 0;
  calls = 0;
  failedCalls = 0;

  constructor(metrics: Metrics, sources: RecorderSources) {
    const { checkpoints, losses, upkeep, drivers } = sources;
    metrics.counter('checkpoints_total', {
      help: 'Checkpoints that the live store has answered for, by what became of them.',
      labelNames: ['outcome'],
      collect() {
        this.reset();
        for (const [outcome, count] of Object.entries(checkpoints.outcomes)) this.inc({ outcome }, count);
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
    counter('positions_total', 'Positions that stand in the log.', () => this.accepted);
    counter('record_calls_total', 'Batches sent to the live store.', () => this.calls);
    counter('record_failures_total', 'Batches that came back without an answer.', () => this.failedCalls);
    counter(
      'lost_positions_total',
      "Drivers' newest acknowledged positions that a new term lacked.",
      () => losses.lost,
    );
    counter('healed_positions_total', 'Of those, written again by this process.', () => losses.healed);
    counter(
      'overtaken_lost_positions_total',
      'Of those, replaced by a newer position before they were written again.',
      () => losses.overtaken,
    );
    counter(
      'compacted_positions_total',
      'Drivers that this process folded into a snapshot, as no flusher did.',
      () => upkeep.folded,
    );
    counter('checkpoints_persisted_total', 'Checkpoints seen in Postgres.', () => checkpoints.persisted);
    gauge('pending_reports', 'Reports that wait to be written.', sources.pending);
    gauge(
      'refusing_partitions',
      'Partitions where the store refuses writes with an error that is not known.',
      sources.refusingPartitions,
    );
    gauge('checkpoints_waiting', 'Checkpoints that wait for Postgres.', () => checkpoints.size);
    gauge(
      'known_positions',
      'Drivers whose newest position is kept, to be written again if a node loses it.',
      () => drivers.size,
    );
    // Of several processes that look at the same partitions, the one that sees the worst speaks for all.
    const worst = (name: string, help: string, read: () => number) => gauge(name, help, read, 'max');
    const { lossWindow } = sources;
    worst('dark_partitions', 'Partitions whose node does not take writes.', sources.darkPartitions);
    worst(
      'loss_window_seconds',
      'Age of the oldest position that is not in Postgres, of the reachable partitions.',
      () => lossWindow.worstMs / 1000,
    );
    worst('loss_budget_seconds', 'What the loss window is to stay within.', () => lossWindow.budgetMs / 1000);
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
    const lostAge = metrics.histogram('lost_position_age_seconds', {
      help: 'How old lost positions were when the loss was found.',
      buckets: [0.1, 0.5, 1, 2, 5, 10, 30, 60],
    });
    losses.onLost = (ageMs) => lostAge.observe(ageMs / 1000);
  }
}

// The metrics of the edge: plain numbers on the hot path, turned into Prometheus metrics at a scrape.
import { CLOSE_CODES, NACK_CODES } from '@whereabouts/client/protocol';
import type { Metrics } from '@whereabouts/infra/service/metrics';
import { DurationBuckets } from './duration-buckets.js';

const MESSAGE_KINDS = ['position', 'positions', 'bye', 'token', 'ping', 'pong', 'unreadable'] as const;

type Counts<K extends string> = Record<K, number>;

function zeros<K extends string>(keys: readonly K[]): Counts<K> {
  return Object.fromEntries(keys.map((key) => [key, 0])) as Counts<K>;
}

const ACK_LATENCY_BOUNDS_S = [0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 1, 2.5];

export class EdgeCounters {
  readonly messages = zeros(MESSAGE_KINDS);
  readonly nacks = zeros(NACK_CODES);
  /** By reason, of which admission.ts has a few. */
  readonly refusedUpgrades = new Map<string, number>();
  readonly closes = new Map<string, number>();
  readonly ackLatency = new DurationBuckets(ACK_LATENCY_BOUNDS_S);
  upgrades = 0;
  reports = 0;
  acks = 0;
  persisted = 0;
  bytesIn = 0;
  bytesOut = 0;
  renumbered = 0;
  offlineRecords = 0;

  countClose(code: number): void {
    const label = CLOSE_LABELS.has(code) ? String(code) : 'other';
    this.closes.set(label, (this.closes.get(label) ?? 0) + 1);
  }

  countRefusedUpgrade(reason: string): void {
    this.refusedUpgrades.set(reason, (this.refusedUpgrades.get(reason) ?? 0) + 1);
  }
}

// A client may close with any code, and a label must have a bound.
const CLOSE_LABELS: ReadonlySet<number> = new Set([...Object.values(CLOSE_CODES), 1005, 1006]);

/** What is read at a scrape besides the counters. */
export interface EdgeGauges {
  handshakes(): number;
  rememberedDrivers(): number;
  connections(): number;
  absentDrivers(): number;
  reportIntervalMs(): number;
}

export function registerEdgeMetrics(metrics: Metrics, counters: EdgeCounters, gauges: EdgeGauges): void {
  const total = (name: string, help: string, read: () => number) =>
    metrics.counter(name, {
      help,
      collect() {
        this.reset();
        this.inc(read());
      },
    });
  const totals = (name: string, help: string, label: string, read: () => Iterable<[string, number]>) =>
    metrics.counter(name, {
      help,
      labelNames: [label],
      collect() {
        this.reset();
        for (const [key, count] of read()) this.inc({ [label]: key }, count);
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
  gauge('connections', 'Open WebSocket connections', gauges.connections);
  gauge('handshakes', 'Open sockets that are no WebSocket', gauges.handshakes);
  gauge('remembered_drivers', 'Drivers whose limits are kept, connected or not', gauges.rememberedDrivers);
  gauge(
    'absent_drivers',
    'Dropped connections whose drivers are not recorded as offline yet',
    gauges.absentDrivers,
  );
  const intervalS = () => gauges.reportIntervalMs() / 1000;
  gauge('report_interval_seconds', 'How often drivers are asked to report now', intervalS, 'max');
  total('upgrades_total', 'Connections that became WebSockets', () => counters.upgrades);
  totals(
    'refused_upgrades_total',
    'Requests refused before the upgrade',
    'reason',
    () => counters.refusedUpgrades,
  );
  totals('messages_total', 'WebSocket messages and control frames received', 'kind', () =>
    Object.entries(counters.messages),
  );
  total('reports_total', 'Positions handed to the recorder', () => counters.reports);
  total('acks_total', 'Acknowledgements sent (one may settle several reports)', () => counters.acks);
  totals('nacks_total', 'Negative acknowledgements sent', 'code', () => Object.entries(counters.nacks));
  total('persisted_total', 'Messages sent that a checkpoint stands in Postgres', () => counters.persisted);
  totals('closes_total', 'Closed WebSocket connections', 'code', () => counters.closes);
  total('received_bytes_total', 'Payload of received messages', () => counters.bytesIn);
  total('sent_bytes_total', 'Payload of sent messages', () => counters.bytesOut);
  total('renumbered_sessions_total', 'Sessions that took a greater number at their first report', () => {
    return counters.renumbered;
  });
  total('offline_records_total', 'Drivers recorded as offline after their connection dropped', () => {
    return counters.offlineRecords;
  });
  counters.ackLatency.register(metrics, {
    name: 'ack_latency_seconds',
    help: 'From the receipt of a report to the answer of Redis that settles it',
  });
}

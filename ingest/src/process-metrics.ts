// Metrics that show which process of one port is overloaded. Each series has the number of its process, from 1 to
// INGEST_PROCESSES, because the primary adds up series with equal labels. A process that is replaced keeps its number.
import type { Metrics } from '@whereabouts/infra/service/metrics';
import { maxOpenFiles, openFiles } from '@whereabouts/infra/service/open-files';
import { Gauge, type Registry, type RegistryContentType } from 'prom-client';
import type { DurationBuckets } from './duration-buckets.js';

/** As createMetrics('ingest') has it. */
const PREFIX = 'whereabouts_ingest_';

export interface ProcessGauges {
  connections(): number;
  /** MAX_CONNECTIONS, or fewer where open files do not allow for so many. */
  connectionsLimit(): number;
  pendingReports(): number;
  paceFactor(): number;
}

/** Observed at each look or tick. A gauge would show the moment of the scrape only. */
export interface ProcessDurations {
  lag: DurationBuckets;
  tick: DurationBuckets;
}

export function registerProcessMetrics(
  metrics: Metrics,
  process: number,
  { lag, tick }: ProcessDurations,
  read: ProcessGauges,
): void {
  const labels = { process: String(process) };
  const gauge = (name: string, help: string, value: () => number | null) =>
    metrics.gauge(`process_${name}`, {
      help,
      labelNames: ['process'],
      collect() {
        const now = value();
        if (now !== null) this.set(labels, now);
      },
    });
  gauge('connections', 'Open WebSocket connections of this process', read.connections);
  gauge(
    'connections_limit',
    'Connections that this process takes: MAX_CONNECTIONS, or fewer where open files are short',
    read.connectionsLimit,
  );
  gauge('open_files', 'Open file descriptors of this process', openFiles);
  gauge('open_files_limit', 'Files that this process may have open; none told: no limit', maxOpenFiles);
  gauge('pending_reports', 'Reports that wait in this process to be written', read.pendingReports);
  gauge(
    'pace_factor',
    'Drivers are asked to report so many times more seldom than REPORT_INTERVAL_MS; above 1 under too much load',
    read.paceFactor,
  );
  gauge('resident_memory_bytes', 'Resident memory of this process', () =>
    globalThis.process.memoryUsage.rss(),
  );
  metrics.counter('process_cpu_seconds_total', {
    help: 'User and system time of this process',
    labelNames: ['process'],
    collect() {
      const { user, system } = globalThis.process.cpuUsage();
      this.reset();
      this.inc(labels, (user + system) / 1e6);
    },
  });
  lag.register(metrics, {
    name: 'process_event_loop_lag_seconds',
    help: 'How late the event loop was in the worst tenth of each second',
    labels,
  });
  tick.register(metrics, {
    name: 'process_tick_duration_seconds',
    help: 'The own work of one tick, which packs and sends what waits',
    labels,
  });
}

/** `missing`: those that did not answer. In the primary's own registry, which is made anew for each scrape. */
export function registerProcessCount(
  registry: Registry<RegistryContentType>,
  { all, missing }: { all: number; missing: number },
): void {
  const gauge = (name: string, help: string, value: number) =>
    new Gauge({ name: `${PREFIX}${name}`, help, registers: [registry] }).set(value);
  gauge('processes', 'Processes that share the port (INGEST_PROCESSES)', all);
  gauge(
    'processes_missing',
    'Of those, the ones that did not answer this scrape: being replaced, or stuck',
    missing,
  );
}

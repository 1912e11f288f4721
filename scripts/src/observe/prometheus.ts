// Prometheus of one stack: the settings of infra/deploy with the stack's own addresses, and its process.
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type ServerProcess, startServer, waitFor } from '@whereabouts/infra/local/server-process';
import { root } from '../home.js';

const DEPLOYED = join(root, 'infra', 'deploy', 'prometheus');
const READY_DEADLINE_MS = 20_000;

/** The ops listeners, http://HOST:PORT; null: it does not run. */
export interface Scraped {
  ingest: string;
  query: string;
  flusher: string;
  promoter: string | null;
}

/** As prometheus.yml names them. */
const TARGETS: Record<keyof Scraped, string> = {
  ingest: 'ingest:9080',
  query: 'query-api:9081',
  flusher: 'flusher:9082',
  promoter: 'promoter:9084',
};

export function prometheusSettings(template: string, scraped: Scraped): string {
  let text = template;
  for (const [service, target] of Object.entries(TARGETS)) {
    const ops = scraped[service as keyof Scraped];
    const from = `targets: ["${target}"]`;
    if (!text.includes(from)) throw new Error(`prometheus.yml has no ${from}`);
    text = text.replace(from, ops === null ? 'targets: []' : `targets: ["${new URL(ops).host}"]`);
  }
  return text;
}

export interface PrometheusOptions {
  command: string;
  /** For its settings and data. */
  dir: string;
  logFile: string;
  port: number;
  scraped: Scraped;
}

/** Resolves once it answers. */
export async function startPrometheus(
  o: PrometheusOptions,
): Promise<{ url: string; process: ServerProcess }> {
  mkdirSync(o.dir, { recursive: true, mode: 0o700 });
  const settings = join(o.dir, 'prometheus.yml');
  writeFileSync(
    settings,
    prometheusSettings(readFileSync(join(DEPLOYED, 'prometheus.yml'), 'utf8'), o.scraped),
  );
  copyFileSync(join(DEPLOYED, 'alerts.yml'), join(o.dir, 'alerts.yml'));
  const address = `127.0.0.1:${o.port}`;
  const process = await startServer({
    command: o.command,
    args: [
      `--config.file=${settings}`,
      `--storage.tsdb.path=${join(o.dir, 'data')}`,
      '--storage.tsdb.retention.time=7d',
      '--storage.tsdb.retention.size=512MB',
      `--web.listen-address=${address}`,
      '--log.level=warn',
    ],
    logFile: o.logFile,
    stopSignal: 'SIGTERM',
  });
  const url = `http://${address}`;
  await whenAnswering(process, `${url}/-/ready`, READY_DEADLINE_MS);
  return { url, process };
}

/** Stops it if it does not answer in time. */
export async function whenAnswering(process: ServerProcess, url: string, deadlineMs: number): Promise<void> {
  try {
    await waitFor(`an answer of ${url}`, deadlineMs, async () => {
      if (process.hasExited()) return false;
      return (await fetch(url, { signal: AbortSignal.timeout(1_000) })).ok || undefined;
    });
  } catch (error) {
    await process.stop(2_000);
    throw error;
  }
  if (process.hasExited()) throw new Error('it ended at once');
}

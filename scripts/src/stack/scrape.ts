// Reads a service's /metrics: the Prometheus text format, as far as our own metrics use it.

export interface Sample {
  name: string;
  labels: Record<string, string>;
  value: number;
}

const SCRAPE_TIMEOUT_MS = 900;
const LINE = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$/;
const LABEL = /([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"/g;

function parseValue(text: string): number {
  if (text === '+Inf') return Number.POSITIVE_INFINITY;
  return text === '-Inf' ? Number.NEGATIVE_INFINITY : Number(text);
}

/** Rates are taken over the last few looks: one second alone is too noisy. */
export const LOOKS_OF_A_RATE = 5;

/** The metrics that `npm start` and `npm run top` both show. */
export const SHOWN = {
  accepted: 'whereabouts_ingest_reports_total',
  ackLatency: 'whereabouts_ingest_ack_latency_seconds',
  connections: 'whereabouts_ingest_connections',
  lossWindow: 'whereabouts_flusher_loss_window_seconds',
  rows: 'whereabouts_flusher_rows_written_total',
} as const;

export const orNull = (value: number | undefined): number | null => value ?? null;

export function parseMetrics(text: string): Sample[] {
  const samples: Sample[] = [];
  for (const line of text.split('\n')) {
    const match = LINE.exec(line);
    if (!match) continue;
    const labels = Object.fromEntries(
      [...(match[2] ?? '').matchAll(LABEL)].map(([, key, value]) => [key, value]),
    );
    samples.push({ name: match[1] as string, labels, value: parseValue(match[3] as string) });
  }
  return samples;
}

/** Empty if the service does not answer in time: the line then shows a gap, not an old number. */
export async function scrape(ops: string): Promise<Sample[]> {
  try {
    const response = await fetch(`${ops}/metrics`, { signal: AbortSignal.timeout(SCRAPE_TIMEOUT_MS) });
    return response.ok ? parseMetrics(await response.text()) : [];
  } catch {
    return [];
  }
}

/** The sum over all label sets; undefined if there is none. */
export function total(
  samples: readonly Sample[],
  name: string,
  labels: Record<string, string> = {},
): number | undefined {
  const fits = (sample: Sample) =>
    sample.name === name && Object.entries(labels).every(([key, value]) => sample.labels[key] === value);
  const found = samples.filter(fits);
  return found.length === 0 ? undefined : found.reduce((sum, { value }) => sum + value, 0);
}

export function largest(samples: readonly Sample[], name: string): number | undefined {
  const values = samples.filter((sample) => sample.name === name).map(({ value }) => value);
  return values.length === 0 ? undefined : Math.max(...values);
}

/** The growth of a counter; a service that was restarted counts from 0 again. */
export function growth(before: readonly Sample[], after: readonly Sample[], name: string): number | null {
  const [from, to] = [total(before, name), total(after, name)];
  if (from === undefined || to === undefined) return null;
  return to >= from ? to - from : to;
}

/**
 * A quantile of what a histogram counted between two scrapes, interpolated within its bucket as Prometheus does;
 * undefined if nothing was counted.
 */
export function quantile(
  before: readonly Sample[],
  after: readonly Sample[],
  name: string,
  q: number,
): number | undefined {
  const bucket = `${name}_bucket`;
  const bounds = [...new Set(after.filter((s) => s.name === bucket).map((s) => s.labels.le ?? ''))];
  const counted = bounds
    .map((le) => ({
      bound: parseValue(le),
      count: (total(after, bucket, { le }) ?? 0) - (total(before, bucket, { le }) ?? 0),
    }))
    .sort((a, b) => a.bound - b.bound);
  const all = counted.at(-1)?.count ?? 0;
  if (all <= 0) return undefined;
  const wanted = q * all;
  let lower = { bound: 0, count: 0 };
  for (const upper of counted) {
    if (upper.count >= wanted) {
      if (!Number.isFinite(upper.bound)) return lower.bound;
      const part = (wanted - lower.count) / (upper.count - lower.count);
      return lower.bound + (upper.bound - lower.bound) * part;
    }
    lower = upper;
  }
  return undefined;
}

/** The same of a histogram in seconds, in milliseconds; null if nothing was counted. */
export function p99Ms(before: readonly Sample[], after: readonly Sample[], name: string): number | null {
  const s = quantile(before, after, name, 0.99);
  return s === undefined ? null : s * 1000;
}

// Which partitions nobody can write to or ask for, according to query-api: where they are, and since when.
import { readerToken } from '../driver-tokens.js';
import type { Places } from '../places/places.js';
import type { Stack } from '../stack-file.js';

const TIMEOUT_MS = 2_000;
/** A region that is `warming` takes writes: its term has just begun. */
const DARK: ReadonlySet<string> = new Set(['unreachable', 'timeout', 'not_ready', 'silent']);

/** A row of `GET /v1/partitions`, with the fields read here. */
export interface PartitionNow {
  partition: number;
  /** Geohashes, `to` exclusive. */
  from: string;
  to: string;
  node: string | null;
  health: string;
  /** Null if it was not seen. */
  drivers: number | null;
  available: number | null;
  busy: number | null;
  loss_window_ms: number | null;
  /** RFC 3339; null while it is well. */
  unwell_since?: string | null;
}

export interface Dark {
  /** Those with the most drivers first, as far as known. */
  rows: readonly PartitionNow[];
  partitions: number;
  sinceMs: number;
}

/** Null: query-api does not answer. */
export async function partitionsNow(stack: Stack): Promise<PartitionNow[] | null> {
  try {
    const response = await fetch(`${stack.query.url}/v1/partitions`, {
      headers: { authorization: `Bearer ${await readerToken(stack)}` },
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    if (!response.ok) return null;
    return ((await response.json()) as { partitions: PartitionNow[] }).partitions;
  } catch {
    return null;
  }
}

/** What is dark over several looks: the number of drivers is known from before. */
export class DarkWatch {
  readonly #sinceMs = new Map<number, number>();
  readonly #drivers = new Map<number, number>();
  readonly #nowMs: () => number;

  constructor(nowMs: () => number = Date.now) {
    this.#nowMs = nowMs;
  }

  /** Null: nothing is. */
  look(rows: readonly PartitionNow[]): Dark | null {
    const dark = rows.filter((row) => this.#isDark(row));
    if (dark.length === 0) return null;
    const known = ({ partition }: PartitionNow) => this.#drivers.get(partition) ?? 0;
    return {
      rows: dark.sort((a, b) => known(b) - known(a)),
      partitions: rows.length,
      sinceMs: Math.min(...dark.map(({ partition }) => this.#sinceMs.get(partition) as number)),
    };
  }

  #isDark({ partition, health, drivers, unwell_since }: PartitionNow): boolean {
    if (drivers !== null) this.#drivers.set(partition, drivers);
    if (!DARK.has(health)) {
      this.#sinceMs.delete(partition);
      return false;
    }
    const toldMs = unwell_since ? Date.parse(unwell_since) : Number.NaN;
    const firstMs = this.#sinceMs.get(partition) ?? this.#nowMs();
    this.#sinceMs.set(partition, Number.isNaN(toldMs) ? firstMs : toldMs);
    return true;
  }
}

/** Each once. */
export const nodesOf = (rows: readonly PartitionNow[]): string[] => [
  ...new Set(rows.map(({ node }) => node).filter((node) => node !== null)),
];

/** By the wall clock. */
export const clockText = (ms: number): string => new Date(ms).toLocaleTimeString('en-GB');

export function darkText({ rows, partitions, sinceMs }: Dark, places: Places): string {
  const nodes = nodesOf(rows);
  const where = nodes.length > 0 ? ` (${nodes.join(', ')})` : '';
  return `dark since ${clockText(sinceMs)}: ${places.textOf(rows)}, ${rows.length} of ${partitions} partitions${where}`;
}

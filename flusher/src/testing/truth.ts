// A fleet that moves at random over the whole world, and what has to be in Postgres in the end: for each driver the
// newest position that the store has accepted.

import type { LogStore } from '@whereabouts/infra/live-store/log-store';
import { batchOf } from '@whereabouts/infra/live-store/testing/log-fixture';
import { COLUMNS, fromE7, isNewer, type Position } from '@whereabouts/infra/position';
import { seededRandom } from '@whereabouts/infra/seeded-random';
import { stored } from './archive-fixture.js';

export class Fleet {
  readonly newest = new Map<string, Position>();
  readonly #store: LogStore;
  readonly #random: () => number;
  readonly #drivers: number;
  #seq = 0;

  constructor(store: LogStore, o: { drivers: number; seed: number }) {
    this.#store = store;
    this.#drivers = o.drivers;
    this.#random = seededRandom(o.seed).next;
  }

  /** Every driver reports once, from anywhere: so most cross a border. */
  async report(fields: Partial<Position> = {}): Promise<void> {
    const byPartition = new Map<number, Position[]>();
    const seq = ++this.#seq;
    for (let i = 0; i < this.#drivers; i++) {
      const position: Position = {
        ...stored(`d${i}`),
        seq,
        session: 1,
        recordedAtMs: Date.now() + seq,
        latE7: Math.round((this.#random() * 170 - 85) * 1e7),
        lonE7: Math.round((this.#random() * 360 - 180) * 1e7),
        headingCdeg: Math.floor(this.#random() * 36_000),
        ...fields,
      };
      const partition = this.#store.map.partitionOf(fromE7(position.latE7), fromE7(position.lonE7));
      byPartition.set(partition, [...(byPartition.get(partition) ?? []), position]);
    }
    await Promise.all([...byPartition].map(([partition, positions]) => this.append(partition, positions)));
  }

  async append(partition: number, positions: readonly Position[]): Promise<void> {
    for (let at = 0; at < positions.length; at += 512) {
      const batch = positions.slice(at, at + 512);
      await this.#store.append(partition, batchOf(...batch), batch.length);
      for (const position of batch) {
        const held = this.newest.get(position.driverId);
        if (!held || isNewer(position, held)) this.newest.set(position.driverId, position);
      }
    }
  }
}

/** Every driver's row against the truth; an empty list: they are the same. */
export async function differences(
  newest: ReadonlyMap<string, Position>,
  sql: (text: string) => Promise<Record<string, unknown>[]>,
): Promise<string[]> {
  const rows = await sql(`SELECT ${COLUMNS.map(({ name }) => name).join(', ')} FROM driver_positions`);
  const found = new Map(
    rows.map((row) => [row.driver_id as string, COLUMNS.map(({ name }) => text(row[name]))]),
  );
  const wrong: string[] = [];
  for (const [driverId, position] of newest) {
    const expected = COLUMNS.map(({ value }) => text(value(position))).join(' ');
    const actual = found.get(driverId)?.join(' ') ?? 'nothing';
    if (actual !== expected) wrong.push(`${actual} instead of ${expected}`);
  }
  for (const driverId of found.keys()) if (!newest.has(driverId)) wrong.push(`${driverId} never reported`);
  return wrong;
}

// pg gives dates for timestamps, and text for bigint.
function text(value: unknown): string {
  return value instanceof Date ? value.toISOString() : String(value);
}

// The effect of moving slots on the map: partitions and live drivers of each node, before and after.
import type { PartitionRow } from '../drill/regions.js';
import { type Move, type Stretch, slotsOf, stretchesAfter } from './contiguous-moves.js';

export interface Share {
  node: string;
  slots: number;
  partitions: number;
  /** Available and busy; null if a partition did not report. */
  drivers: number | null;
}

export interface MoveEffect extends Move {
  count: number;
  /** In this move, by their number. */
  partitions: number[];
  /** The part of the curve that changes hands; `to` is exclusive. null if these slots hold no partition. */
  range: { from: string; to: string } | null;
  drivers: number | null;
}

const driversOf = (rows: readonly PartitionRow[]): number | null => {
  let sum = 0;
  for (const { available, busy } of rows) {
    if (available === null || busy === null) return null;
    sum += available + busy;
  }
  return sum;
};

const within = (rows: readonly PartitionRow[], first: number, last: number) =>
  rows.filter(({ slot }) => slot >= Math.min(first, last) && slot <= Math.max(first, last));

function sharesOf(stretches: readonly Stretch[], rows: readonly PartitionRow[]): Share[] {
  return stretches.map(({ node, first, last }) => {
    const own = within(rows, first, last);
    return { node, slots: last - first + 1, partitions: own.length, drivers: driversOf(own) };
  });
}

function effectsOf(moves: readonly Move[], rows: readonly PartitionRow[]): MoveEffect[] {
  return moves.map((move) => {
    const own = within(rows, move.slots.first, move.slots.last).sort((a, b) => a.partition - b.partition);
    const range = own.length === 0 ? null : { from: own[0]?.from as string, to: own.at(-1)?.to as string };
    const partitions = own.map(({ partition }) => partition);
    return { ...move, count: slotsOf(move), partitions, range, drivers: driversOf(own) };
  });
}

export interface Effect {
  moves: MoveEffect[];
  before: Share[];
  after: Share[];
}

export function effectOf(
  stretches: readonly Stretch[],
  moves: readonly Move[],
  rows: readonly PartitionRow[],
): Effect {
  return {
    moves: effectsOf(moves, rows),
    before: sharesOf(stretches, rows),
    after: sharesOf(stretchesAfter(stretches, moves), rows),
  };
}

// Which slots to move so that one master more, or one fewer, carries its part, and every master's share stays one
// stretch of the curve. (`redis-cli --cluster rebalance` takes some slots from every master, so the new one would get a
// piece of every region.)
//
//  The masters form a row along the slots, each between two borders. A move pushes a border: the slots it passes go
// from one neighbour to the other, one by one, so that at every moment every share is one stretch. Borders that go up
// are pushed from the last to the first, then those that go down from the first to the last: so no border ever has to
// pass another.

import { SLOT_COUNT } from '@whereabouts/infra/hash-slot';

export interface Stretch {
  node: string;
  /** Both inclusive. */
  first: number;
  last: number;
}

export interface Move {
  from: string;
  to: string;
  /** In the order in which they move: up or down. */
  slots: { first: number; last: number };
}

export class PlanError extends Error {
  readonly code = 'plan';
}

/** A row of masters; borders[i] is where node i + 1 begins. A node between two equal borders has nothing. */
interface Row {
  nodes: string[];
  borders: number[];
}

/** What each node owns, as stretches in any order; throws PlanError if a share is not one stretch. */
function rowOf(stretches: readonly Stretch[]): Row {
  const sorted = stretches.toSorted((a, b) => a.first - b.first);
  const nodes: string[] = [];
  let next = 0;
  const borders: number[] = [];
  for (const { node, first, last } of sorted) {
    if (first !== next) throw new PlanError(`slot ${Math.min(first, next)} has no owner, or two`);
    if (nodes.at(-1) !== node) {
      if (nodes.includes(node)) throw new PlanError(`the share of ${node} is not one stretch of slots`);
      if (nodes.length > 0) borders.push(first);
      nodes.push(node);
    }
    next = last + 1;
  }
  if (next !== SLOT_COUNT) throw new PlanError(`slot ${next} has no owner`);
  return { nodes, borders };
}

const evenBorders = (nodes: number): number[] =>
  Array.from({ length: nodes - 1 }, (_, i) => Math.floor(((i + 1) * SLOT_COUNT) / nodes));

function push({ nodes, borders }: Row, wanted: readonly number[]): Move[] {
  const up: Move[] = [];
  const down: Move[] = [];
  for (let i = 0; i < borders.length; i++) {
    const [border, goal] = [borders[i] as number, wanted[i] as number];
    const [lower, upper] = [nodes[i] as string, nodes[i + 1] as string];
    if (goal > border) up.unshift({ from: upper, to: lower, slots: { first: border, last: goal - 1 } });
    if (goal < border) down.push({ from: lower, to: upper, slots: { first: border - 1, last: goal } });
  }
  return [...up, ...down];
}

export const slotsOf = ({ slots }: Move): number => Math.abs(slots.last - slots.first) + 1;
const total = (moves: readonly Move[]) => moves.reduce((sum, move) => sum + slotsOf(move), 0);

/** The new master goes where the fewest slots have to move. */
export function movesToAdd(stretches: readonly Stretch[], added: string): Move[] {
  const { nodes, borders } = rowOf(stretches);
  if (nodes.includes(added)) throw new PlanError(`${added} owns slots already`);
  const wanted = evenBorders(nodes.length + 1);
  let best: Move[] | undefined;
  for (let place = 0; place <= nodes.length; place++) {
    // It begins with nothing: both its borders are equal.
    const border = place === 0 ? 0 : place === nodes.length ? SLOT_COUNT : (borders[place - 1] as number);
    const row = {
      nodes: nodes.toSpliced(place, 0, added),
      borders: borders.toSpliced(place === 0 ? 0 : place - 1, 0, border),
    };
    const moves = push(row, wanted);
    if (best === undefined || total(moves) < total(best)) best = moves;
  }
  return best as Move[];
}

/** The neighbours take over the share of the one that leaves. */
export function movesToRemove(stretches: readonly Stretch[], removed: string): Move[] {
  const row = rowOf(stretches);
  const place = row.nodes.indexOf(removed);
  if (place < 0) throw new PlanError(`${removed} owns no slot`);
  if (row.nodes.length < 2) throw new PlanError(`${removed} is the only master`);
  const left = evenBorders(row.nodes.length - 1);
  const end = place === 0 ? 0 : place === row.nodes.length - 1 ? SLOT_COUNT : (left[place - 1] as number);
  return push(row, left.toSpliced(place === 0 ? 0 : place - 1, 0, end));
}

/** The slots of a move in the order in which they go. */
export function* slotsInOrder({ slots: { first, last } }: Move): Generator<number> {
  const step = first <= last ? 1 : -1;
  for (let slot = first; slot !== last + step; slot += step) yield slot;
}

/** The owners once the moves are made. */
export function stretchesAfter(stretches: readonly Stretch[], moves: readonly Move[]): Stretch[] {
  const ownerOf = new Array<string>(SLOT_COUNT);
  for (const { node, first, last } of stretches) ownerOf.fill(node, first, last + 1);
  for (const move of moves) for (const slot of slotsInOrder(move)) ownerOf[slot] = move.to;
  const after: Stretch[] = [];
  for (const [slot, node] of ownerOf.entries()) {
    const open = after.at(-1);
    if (open?.node === node) open.last = slot;
    else after.push({ node, first: slot, last: slot });
  }
  return after;
}

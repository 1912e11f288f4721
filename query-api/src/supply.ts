// GET /v1/supply: how many drivers are on duty in each cell of a geohash.

import { STATUSES } from '@whereabouts/infra/position';
import { STATUS_BITS } from '@whereabouts/infra/record';
import type { Static } from 'typebox';
import type { Api } from './api-instance.js';
import { type Box, boxesOf, isWithin, partitionsOf, slotsWithin } from './boxes.js';
import { CellCounts } from './cell-counts.js';
import type { DriverIndex } from './driver-index.js';
import { withMembers } from './driver-text.js';
import { SupplyParameters } from './parameter-schemas.js';
import { badParameters, unavailable } from './problem.js';
import { askInTurns, type Ground } from './questions.js';
import { JSON_TYPE, responses } from './route-schema.js';
import { SupplyAnswer } from './schemas.js';
import { weightOfCells } from './weight.js';

const MAX_CELLS = 10_000;
/** Where a box holds more than this, all slots are gone through in their order instead, and others have their turn. */
const FOUND_AT_MOST = 20_000;
const SLOTS_EACH_TURN = 16_384;
const AVAILABLE = STATUSES.indexOf('available');

export function addSupply(app: Api, ground: Ground): void {
  const route = '/v1/supply';
  const schema = {
    operationId: 'supply',
    summary: 'How many drivers are on duty in each cell of a geohash',
    description:
      'Available and busy ones. A driver counts in the cell of the geohash of his position, if he is within the ' +
      `box, so the cells add up to the drivers in the box. A box may touch ${MAX_CELLS} cells at most; where it ` +
      'touches more, the refusal names a precision that fits. In a part of the box that `missing` names, drivers ' +
      'may be there that are not counted.',
    querystring: SupplyParameters,
    response: responses(
      { [JSON_TYPE]: SupplyAnswer },
      { 503: 'No partition in the box can be seen, or the service is overloaded' },
    ),
  };
  app.get(route, { schema }, async ({ query, subject }) => {
    const boxes = boxesOf(query.bbox);
    const cells = cellsOf(boxes, query.precision);
    const question = { caller: subject, route, weight: weightOfCells(cells.size) };
    const notBeforeMs = ground.store.nowMs() - ground.freshnessMs;
    await askInTurns(ground, question, turnsOf(ground.index, boxes), (turn, looked) => {
      looked.count += turn.to - turn.from;
      countTurn(ground.index, turn, boxes, notBeforeMs, cells);
    });
    return supplyText(ground, query, boxes, cells.texts());
  });
}

function supplyText(
  { store, views }: Ground,
  query: Static<typeof SupplyParameters>,
  boxes: readonly Box[],
  cells: readonly string[],
): string {
  const partitions = partitionsOf(store.map, boxes);
  if (cells.length === 0 && !partitions.some((partition) => views.isSeen(partition))) {
    const missing = views.rangesOf(partitions);
    throw unavailable('region_unavailable', 'no partition in the box can be seen', { missing });
  }
  const { bbox, precision } = query;
  const members = { query: { bbox, precision }, ...views.coverageOf(partitions) };
  return withMembers(members, `"cells":[${cells.join()}],"provisional":true`);
}

function cellsOf(boxes: readonly Box[], precision: number): CellCounts {
  const cells = new CellCounts(boxes, precision);
  if (cells.size <= MAX_CELLS) return cells;
  let fits = precision - 1;
  while (new CellCounts(boxes, fits).size > MAX_CELLS) fits--;
  const detail = `is too fine: the box touches ${cells.size} cells, ${MAX_CELLS} at most; ${fits} fits`;
  throw badParameters([{ parameter: 'precision', code: 'out_of_range', detail }]);
}

/** Slots to look at, as they stand in the index when their turn comes: of a list, or all, from one up to another. */
export interface Turn {
  slots: readonly number[] | null;
  from: number;
  to: number;
}

export function turnsOf(index: DriverIndex, boxes: readonly Box[]): Turn[] {
  const slots = slotsWithin(index, boxes, FOUND_AT_MOST);
  if (slots) return [{ slots, from: 0, to: slots.length }];
  const turns: Turn[] = [];
  for (let from = 0; from < index.slotsUsed; from += SLOTS_EACH_TURN) {
    turns.push({ slots, from, to: Math.min(from + SLOTS_EACH_TURN, index.slotsUsed) });
  }
  return turns;
}

export function countTurn(
  index: DriverIndex,
  { slots, from, to }: Turn,
  boxes: readonly Box[],
  notBeforeMs: number,
  cells: CellCounts,
): void {
  const { recordedAtMs, latE7: lats, lonE7: lons, statusAndFlags } = index;
  for (let i = from; i < to; i++) {
    const slot = slots ? (slots[i] as number) : i;
    if ((recordedAtMs[slot] as number) < notBeforeMs || !index.isListed(slot)) continue;
    const latE7 = lats[slot] as number;
    const lonE7 = lons[slot] as number;
    if (!isWithin(latE7, lonE7, boxes)) continue;
    cells.add(latE7, lonE7, ((statusAndFlags[slot] as number) & STATUS_BITS) === AVAILABLE);
  }
}

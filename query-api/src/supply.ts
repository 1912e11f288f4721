// GET /v1/supply: how many drivers are on duty in each cell of a geohash.

import { STATUSES } from '@whereabouts/infra/position';
import { STATUS_BITS } from '@whereabouts/infra/record';
import type { Static } from 'typebox';
import type { Api } from './api-instance.js';
import { type Area, areaOf, coverageWithin, isShown, looksEach, type Turn, turnsOf } from './area.js';
import { CellCounts } from './cell-counts.js';
import type { DriverIndex } from './driver-index.js';
import { withMembers } from './driver-text.js';
import { SupplyParameters } from './parameter-schemas.js';
import { askInTurns, type Ground } from './questions.js';
import { JSON_TYPE, responses } from './route-schema.js';
import { SupplyAnswer } from './schemas.js';
import { weightOfCells } from './weight.js';

const MAX_CELLS = 10_000;
const AVAILABLE = STATUSES.indexOf('available');

export function addSupply(app: Api, ground: Ground): void {
  const route = '/v1/supply';
  const schema = {
    operationId: 'supply',
    summary: 'How many drivers are on duty in each cell of a geohash',
    description:
      'Available and busy ones. A driver counts in the geohash cell of their position, if they are within the ' +
      `box or polygon, so the cells add up to the drivers in it. If the box, or the one around the polygon, touches ` +
      `more than ${MAX_CELLS} cells, coarser cells are counted: \`precision\` of the answer says which. In a part ` +
      'that `missing` names, drivers may be there that are not counted.',
    querystring: SupplyParameters,
    response: responses(
      { [JSON_TYPE]: SupplyAnswer },
      { 503: 'No partition in the area can be seen, or the service is overloaded' },
    ),
  };
  app.get(route, { schema }, async ({ query, subject }) => {
    const area = areaOf(query);
    const cells = cellsOf(area, query.precision);
    const question = { caller: subject, route, weight: weightOfCells(cells.size) };
    const notBeforeMs = ground.store.nowMs() - ground.freshnessMs;
    await askInTurns(ground, question, turnsOf(ground.index, area), (turn, looked) => {
      looked.count += (turn.to - turn.from) * looksEach(area);
      countTurn(ground.index, turn, area, notBeforeMs, cells);
    });
    return supplyText(ground, query, area, cells);
  });
}

function supplyText(
  { store, views }: Ground,
  query: Static<typeof SupplyParameters>,
  area: Area,
  cells: CellCounts,
): string {
  const texts = cells.texts();
  const coverage = coverageWithin({ store, views }, area, texts.length > 0);
  const { bbox, polygon, precision } = query;
  const members = { query: { bbox, polygon, precision }, ...coverage, precision: cells.precision };
  return withMembers(members, `"cells":[${texts.join()}],"provisional":true`);
}

/** The world has 32 cells of precision 1, so one fits. */
function cellsOf({ boxes }: Area, finest: number): CellCounts {
  let cells = new CellCounts(boxes, finest);
  while (cells.size > MAX_CELLS) cells = new CellCounts(boxes, cells.precision - 1);
  return cells;
}

export function countTurn(
  index: DriverIndex,
  { slots, from, to }: Turn,
  area: Area,
  notBeforeMs: number,
  cells: CellCounts,
): void {
  const { latE7, lonE7, statusAndFlags } = index;
  for (let i = from; i < to; i++) {
    const slot = slots ? (slots[i] as number) : i;
    if (!isShown(index, slot, area, notBeforeMs)) continue;
    const isAvailable = ((statusAndFlags[slot] as number) & STATUS_BITS) === AVAILABLE;
    cells.add(latE7[slot] as number, lonE7[slot] as number, isAvailable);
  }
}

// The page's worker: asks for what is in view, reads the answer and puts it in columns. With 5,000 drivers that is 2 MB
// each second, which would hold up the page.

import { Api, ApiError, type Box, type Driver } from './api.js';
import { columnsOf } from './driver-columns.js';
import type { FromWorker, LookSeen, LookWanted, ToWorker } from './looks.js';
import { supplyCells } from './supply-cells.js';
import { Trails } from './trails.js';

const api = new Api();
const trails = new Trails();
const scope = globalThis as unknown as {
  onmessage: (event: MessageEvent<ToWorker>) => void;
  postMessage(message: FromWorker, moved?: ArrayBufferLike[]): void;
};

scope.onmessage = ({ data }) => {
  if ('seen' in data) {
    const { driverId, lat, lon } = data.seen;
    trails.seen(driverId, lat, lon, Date.now());
  } else void answer(data.look);
};

async function answer(wanted: LookWanted): Promise<void> {
  api.useToken(wanted.token);
  try {
    const seen = await (wanted.precision === null
      ? lookAtDrivers(wanted)
      : lookAtCells(wanted, wanted.precision));
    const { x, y, headingDeg, busy } = seen.columns ?? {};
    const moved = [x, y, headingDeg, busy].flatMap((column) => (column ? [column.buffer] : []));
    scope.postMessage(seen, moved);
  } catch (error) {
    const { status, code, message } =
      error instanceof ApiError ? error : { status: 0, code: '', message: String(error) };
    scope.postMessage({ kind: 'failed', id: wanted.id, status, code, detail: message });
  }
}

async function lookAtDrivers({ id, box, limit, watched, rows }: LookWanted): Promise<LookSeen> {
  const { drivers, truncated, ...coverage } = await api.live(box, limit);
  const nowMs = Date.now();
  for (const { driver_id, lat, lon } of drivers) trails.seen(driver_id, lat, lon, nowMs);
  trails.forgetOld(nowMs);
  const available = drivers.reduce((sum, { status }) => sum + (status === 'available' ? 1 : 0), 0);
  return {
    ...{ kind: 'seen', id, drivers: drivers.length, available, busy: drivers.length - available },
    ...{ truncated, coverage, cells: null, rows: drivers.slice(0, rows), around: around(drivers) },
    columns: columnsOf(drivers),
    trail: watched === null ? [] : trails.of(watched),
  };
}

async function lookAtCells({ id, box, watched }: LookWanted, precision: number): Promise<LookSeen> {
  const { cells, ...coverage } = await api.supply(box, precision);
  const sum = (name: 'drivers' | 'available' | 'busy') =>
    cells.reduce((total, cell) => total + cell[name], 0);
  return {
    ...{ kind: 'seen', id, drivers: sum('drivers'), available: sum('available'), busy: sum('busy') },
    ...{ truncated: false, coverage, columns: null, rows: [], around: null },
    cells: supplyCells(cells),
    trail: watched === null ? [] : trails.of(watched),
  };
}

function around(drivers: readonly Driver[]): Box | null {
  const [first] = drivers;
  if (!first) return null;
  const box: Box = [first.lon, first.lat, first.lon, first.lat];
  for (const { lat, lon } of drivers) {
    box[0] = Math.min(box[0], lon);
    box[1] = Math.min(box[1], lat);
    box[2] = Math.max(box[2], lon);
    box[3] = Math.max(box[3], lat);
  }
  return box;
}

// Drivers in columns: they go from the worker to the page without a copy, and are drawn without an object for each.

import type { Driver } from './api.js';
import { mercatorX, mercatorY } from './mercator.js';

export interface DriverColumns {
  count: number;
  /** World coordinates of Web Mercator. */
  x: Float64Array;
  y: Float64Array;
  /** NaN: not reported. */
  headingDeg: Float32Array;
  /** 1: busy. */
  busy: Uint8Array;
  /** One id a line: one string moves at once, five thousand do not. */
  ids: string;
}

export function columnsOf(drivers: readonly Driver[]): DriverColumns {
  const count = drivers.length;
  const columns = {
    count,
    x: new Float64Array(count),
    y: new Float64Array(count),
    headingDeg: new Float32Array(count),
    busy: new Uint8Array(count),
    ids: drivers.map(({ driver_id }) => driver_id).join('\n'),
  };
  drivers.forEach(({ lat, lon, heading_deg, status }, i) => {
    columns.x[i] = mercatorX(lon);
    columns.y[i] = mercatorY(lat);
    columns.headingDeg[i] = heading_deg ?? Number.NaN;
    columns.busy[i] = status === 'available' ? 0 : 1;
  });
  return columns;
}

export const idAt = ({ ids }: DriverColumns, i: number): string => ids.split('\n', i + 1)[i] ?? '';

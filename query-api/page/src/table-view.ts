// The drivers in view as a table: for users who read it better than a map, and for browsers that draw no map.

import type { Driver } from './api.js';
import { element, made, setText } from './dom.js';
import { count, pointText, seconds } from './units.js';

export const ROWS_AT_MOST = 100;

export interface TableOptions {
  hasMap: boolean;
  pick(driverId: string): void;
}

export function showTable(rows: readonly Driver[], drivers: number, { hasMap, pick }: TableOptions): void {
  const why = hasMap ? '' : 'This browser draws no map, as WebGL 2 is missing. ';
  const all = drivers === 1 ? '1 driver' : `${count(drivers)} drivers`;
  const shown = rows.length < drivers ? `The first ${rows.length} of ${all}` : all;
  setText(element('table-note'), `${why}${shown} on duty here. Positions are provisional.`);
  element('table-rows').replaceChildren(
    ...rows.map((driver) => {
      const row = made('tr');
      const name = made('th');
      name.scope = 'row';
      const button = made('button', driver.driver_id);
      button.type = 'button';
      button.addEventListener('click', () => pick(driver.driver_id));
      name.append(button);
      const { speed_mps } = driver;
      row.append(
        name,
        made('td', driver.status),
        made('td', pointText(driver)),
        made('td', speed_mps === null ? 'not reported' : `${Math.round(speed_mps * 3.6)} km/h`),
        made('td', seconds(driver.age_ms)),
      );
      return row;
    }),
  );
}

// Messages between the page and its worker. A look is one question for what is in view, and its answer.

import type { Box, Coverage, Driver } from './api.js';
import type { DriverColumns } from './driver-columns.js';
import type { SupplyCell } from './supply-cells.js';

export interface LookWanted {
  id: number;
  token: string;
  box: Box;
  limit: number;
  /** Null: drivers are requested; otherwise counts for cells of this many characters. */
  precision: number | null;
  /** The driver whose trail is requested. */
  watched: string | null;
  /** For the table. */
  rows: number;
}

/** The watched driver was seen by another question. */
export interface SeenElsewhere {
  driverId: string;
  lat: number;
  lon: number;
}

export interface LookSeen {
  kind: 'seen';
  id: number;
  drivers: number;
  available: number;
  busy: number;
  /** There are more than these. */
  truncated: boolean;
  coverage: Coverage;
  /** Null where counts were wanted. */
  columns: DriverColumns | null;
  cells: SupplyCell[] | null;
  trail: [number, number][];
  rows: Driver[];
  /** The box around all of them; null if there are none. */
  around: Box | null;
}

export interface LookFailed {
  kind: 'failed';
  id: number;
  /** 0: there was no answer. */
  status: number;
  code: string;
  detail: string;
}

export type ToWorker = { look: LookWanted } | { seen: SeenElsewhere };
export type FromWorker = LookSeen | LookFailed;

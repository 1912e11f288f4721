// The real traces beside the repository, as of now: a bus's times keep their order, their repeats and their age, at
// many times the speed.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from '../home.js';

const folder = join(root, '..', 'shared', 'data');

export const tracesAreThere = existsSync(join(folder, 'warsaw_arrival_order.csv'));
export const withoutTraces = `the real traces are not there (${folder})`;

export interface Delivery {
  snapshot: number;
  vehicleId: string;
  unixMs: number;
  lat: number;
  lon: number;
}

export interface Anomaly {
  snapshot: number;
  vehicleId: string;
  /** As published; not all of them are times. */
  rawLocalTime: string;
  lat: number;
  lon: number;
}

function rows(name: string): string[][] {
  const lines = readFileSync(join(folder, name), 'utf8').trimEnd().split('\n');
  return lines.slice(1).map((line) => line.split(','));
}

/** In the order in which they arrived, by snapshot. */
export function arrivals(): Map<number, Delivery[]> {
  const snapshots = new Map<number, Delivery[]>();
  for (const [snapshot, vehicleId, unixMs, lat, lon] of rows('warsaw_arrival_order.csv')) {
    const delivery = {
      snapshot: Number(snapshot),
      vehicleId: String(vehicleId),
      unixMs: Number(unixMs),
      lat: Number(lat),
      lon: Number(lon),
    };
    const held = snapshots.get(delivery.snapshot);
    if (held) held.push(delivery);
    else snapshots.set(delivery.snapshot, [delivery]);
  }
  return snapshots;
}

export function anomalies(): Anomaly[] {
  return rows('warsaw_anomalies_raw.csv').map(([vehicleId, rawLocalTime, lat, lon, snapshot]) => ({
    snapshot: Number(snapshot),
    vehicleId: String(vehicleId),
    rawLocalTime: String(rawLocalTime),
    lat: Number(lat),
    lon: Number(lon),
  }));
}

/** Warsaw in February; null if it is not a valid time. */
export function unixMsOf(rawLocalTime: string): number | null {
  if (!/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d$/.test(rawLocalTime)) return null;
  return Date.parse(`${rawLocalTime.replace(' ', 'T')}+01:00`);
}

export function stops(): { lat: number; lon: number }[] {
  return rows('poi_warsaw_stops.csv').map(([, lat, lon]) => ({ lat: Number(lat), lon: Number(lon) }));
}

// The address's fragment, which no server ever sees. It holds the view, so that a reload or a link shows the same, and
// on arrival a token, which is removed at once and kept for this tab alone.
//
//   #at=52.2297,21.0122&zoom=11&layers=names,partitions&point=52.23,21.01&status=busy&driver=sim-1-0&follow&table

import { MAX_LATITUDE } from './geohash.js';
import { DRIVER_ID, type Point } from './typed-point.js';

export const LAYERS = ['names', 'partitions', 'nodes', 'grid', 'density', 'trail'] as const;
export type Layer = (typeof LAYERS)[number];
export const LAYERS_AT_FIRST: readonly Layer[] = ['names', 'partitions', 'grid', 'trail'];

export interface View {
  /** Null: wherever the drivers are. */
  at: Point | null;
  zoom: number;
  layers: readonly Layer[];
  /** The page keeps asking for the nearest drivers to this point. */
  point: Point | null;
  status: 'available' | 'busy';
  driver: string | null;
  isFollowing: boolean;
  isTable: boolean;
}

const KEEP = 'whereabouts-token';

export function readView(fragment: string): View {
  const given = new URLSearchParams(fragment.replace(/^#/, ''));
  const layers = given.get('layers')?.split(',') ?? LAYERS_AT_FIRST;
  const zoom = Number(given.get('zoom') ?? '11');
  const driver = given.get('driver');
  return {
    at: pointOf(given.get('at')),
    zoom: Number.isFinite(zoom) ? Math.max(0, Math.min(20, zoom)) : 11,
    layers: LAYERS.filter((layer) => layers.includes(layer)),
    point: pointOf(given.get('point')),
    status: given.get('status') === 'busy' ? 'busy' : 'available',
    driver: driver !== null && DRIVER_ID.test(driver) ? driver : null,
    isFollowing: given.has('follow'),
    isTable: given.has('table'),
  };
}

export function viewText({ at, zoom, layers, point, status, driver, isFollowing, isTable }: View): string {
  const parts: string[] = [];
  if (at) parts.push(`at=${at.lat.toFixed(5)},${at.lon.toFixed(5)}`, `zoom=${Number(zoom.toFixed(2))}`);
  const isUsual =
    layers.length === LAYERS_AT_FIRST.length && LAYERS_AT_FIRST.every((l) => layers.includes(l));
  if (!isUsual) parts.push(`layers=${layers.join(',')}`);
  if (point) parts.push(`point=${point.lat.toFixed(6)},${point.lon.toFixed(6)}`);
  if (status === 'busy') parts.push('status=busy');
  if (driver) parts.push(`driver=${driver}`);
  if (driver && isFollowing) parts.push('follow');
  if (isTable) parts.push('table');
  return parts.join('&');
}

/** The token in the address, else the one that this tab had. */
export function takeToken(): string {
  const given = new URLSearchParams(location.hash.slice(1)).get('token');
  if (given === null) return sessionStorage.getItem(KEEP) ?? '';
  const rest = location.hash
    .slice(1)
    .split('&')
    .filter((part) => !part.startsWith('token='));
  showInAddress(rest.join('&'));
  return keepToken(given);
}

export function keepToken(text: string): string {
  const token = text.trim();
  sessionStorage.setItem(KEEP, token);
  return token;
}

export function showInAddress(fragment: string): void {
  const wanted = location.pathname + location.search + (fragment === '' ? '' : `#${fragment}`);
  if (wanted !== location.pathname + location.search + location.hash) history.replaceState(null, '', wanted);
}

function pointOf(text: string | null): Point | null {
  const [lat, lon] = (text ?? '').split(',').map(Number);
  if (text === null || lat === undefined || lon === undefined) return null;
  return Math.abs(lat) <= MAX_LATITUDE && Math.abs(lon) <= 180 ? { lat, lon } : null;
}

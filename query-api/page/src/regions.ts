// Groups partitions in trouble into regions that a person can name: neighbours on the curve with the same trouble are
// one region. The borders between partitions lie where the drivers are, so the cities near the borders name it.

import type { Health, Partition } from './api.js';
import type { Cities, City } from './cities.js';
import { centreOf, END, FIRST } from './geohash.js';

export interface Region {
  health: Exclude<Health, 'ok'>;
  partitions: number[];
  /** `u3q8..u3qc` */
  range: string;
  cities: City[];
  sinceMs: number | null;
}

export const TROUBLE: Record<Exclude<Health, 'ok'>, string> = {
  unreachable: 'cannot be written or read',
  timeout: 'cannot be read',
  not_ready: 'cannot be written or read',
  map_mismatch: 'is written under another partition map',
  silent: 'is not written',
  warming: 'has a new owner and may not be healed yet',
};

/** Hatched on the map: what is shown there is out of date. */
export const isDark = (health: Health): boolean =>
  health !== 'ok' && health !== 'silent' && health !== 'warming';

const CITIES_AT_MOST = 3;

export function regionsOf(partitions: readonly Partition[], cities: Cities): Region[] {
  return neighboursOf(partitions).map((its) => ({
    health: (its[0] as Partition).health as Region['health'],
    partitions: its.map(({ partition }) => partition),
    range: `${shortCell(its[0]?.from ?? '')}..${shortCell(its.at(-1)?.to ?? '')}`,
    cities: citiesOf(its, cities),
    sinceMs: sinceMsOf(its),
  }));
}

/** Those in trouble: neighbours with the same trouble together. */
function neighboursOf(partitions: readonly Partition[]): Partition[][] {
  const groups: Partition[][] = [];
  let before: Partition | undefined;
  for (const partition of partitions) {
    const isMore = before?.health === partition.health;
    before = partition;
    if (partition.health === 'ok') continue;
    if (isMore) groups.at(-1)?.push(partition);
    else groups.push([partition]);
  }
  return groups;
}

/** The earliest that is known. */
function sinceMsOf(partitions: readonly Partition[]): number | null {
  const times = partitions.flatMap(({ unwell_since }) =>
    unwell_since === null ? [] : [Date.parse(unwell_since)],
  );
  return times.length === 0 ? null : Math.min(...times);
}

/** The cities that most borders are near to come first. */
function citiesOf(partitions: readonly Partition[], cities: Cities): City[] {
  const borders = new Set(partitions.flatMap(({ from, to }) => [from, to]));
  const votes = new Map<City, number>();
  for (const border of borders) {
    if (border === FIRST || border === END) continue;
    const city = cities.near(centreOf(border));
    if (city) votes.set(city, (votes.get(city) ?? 0) + 1);
  }
  const ranked = [...votes].sort((a, b) => b[1] - a[1] || b[0].population - a[0].population);
  return ranked.slice(0, CITIES_AT_MOST).map(([city]) => city);
}

/** `Near Warsaw and Minsk` */
export function placeText({ cities, range }: Region): string {
  const names = cities.map(({ name }) => name);
  if (names.length === 0) return `The range ${range}`;
  const last = names.pop() as string;
  return `Near ${names.length === 0 ? last : `${names.join(', ')} and ${last}`}`;
}

/** Without insignificant zeros. */
function shortCell(cell: string): string {
  return cell === END ? 'end' : cell.replace(/0+$/, '') || '0';
}

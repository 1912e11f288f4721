// The search field: a point, a driver's id or a city. A refusal is shown beside the field until something else is
// typed.

import type { Cities } from './cities.js';
import { element, setText } from './dom.js';
import { type Point, readTyped } from './typed-point.js';

export interface SearchEvents {
  /** An answer to an earlier text must not be shown for a later one. */
  forget(): void;
  point(point: Point): void;
  city(point: Point): void;
  driver(driverId: string): void;
}

export function listenToSearch(cities: Cities, events: SearchEvents): void {
  const field = element<HTMLInputElement>('search-text');
  const refuse = (why: string) => {
    setText(element('search-error'), why);
    element('search-error').hidden = why === '';
    field.setAttribute('aria-invalid', String(why !== ''));
  };
  field.addEventListener('input', () => refuse(''));
  element('search').addEventListener('submit', (event) => {
    event.preventDefault();
    const typed = readTyped(field.value);
    refuse(typed.kind === 'refused' ? typed.why : '');
    if (typed.kind !== 'driver') events.forget();
    if (typed.kind === 'point') events.point(typed.point);
    if (typed.kind !== 'driver') return;
    const city = cities.named(typed.driverId);
    if (city) events.city(city);
    else events.driver(typed.driverId);
  });
}

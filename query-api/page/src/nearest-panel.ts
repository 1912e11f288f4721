// The nearest drivers to a point: polled as long as they are shown, as an answer ages.
//
//   closed ──ask──▶ asking ──answer──▶ answered ──┐
//     ▲               │                  ▲        │ each second
//     └────close──────┴──────────────────┴────────┘
//
//  An answer counts only for the point and status that it was asked for.

import { type Api, ApiError, type Driver, type NearbyAnswer } from './api.js';
import { element, made, setText } from './dom.js';
import type { Point } from './typed-point.js';
import { metres, pointText, seconds } from './units.js';

const NEAREST = 10;

export interface NearestEvents {
  /** The panel now shows something else. */
  changed(): void;
  picked(driverId: string): void;
}

export class NearestPanel {
  readonly #api: Api;
  readonly #events: NearestEvents;
  #point: Point | null = null;
  #drivers: Driver[] = [];
  #isAsking = false;

  constructor(api: Api, events: NearestEvents) {
    this.#api = api;
    this.#events = events;
    element('nearest-close').addEventListener('click', () => this.close());
  }

  get point(): Point | null {
    return this.#point;
  }

  /** There is no answer for this point yet. */
  get isAsking(): boolean {
    return this.#isAsking;
  }

  ask(point: Point): void {
    this.#point = point;
    this.#isAsking = true;
    this.#drivers = [];
    element('nearest').hidden = false;
    setText(element('nearest-title'), `Nearest to ${pointText(point)}`);
    setText(element('verdict'), 'Asking …');
    element('answers').replaceChildren();
    this.#events.changed();
  }

  close(): void {
    if (this.#point === null) return;
    this.#point = null;
    this.#drivers = [];
    this.#isAsking = false;
    element('nearest').hidden = true;
    this.#events.changed();
  }

  /** For the poll. */
  async askAgain(): Promise<void> {
    const point = this.#point;
    if (point === null) return;
    const { value: status } = element<HTMLSelectElement>('status');
    const isStillAsked = () => this.#point === point && element<HTMLSelectElement>('status').value === status;
    try {
      const answer = await this.#api.nearby(point, status, NEAREST);
      if (isStillAsked()) this.#show(answer, status);
    } catch (error) {
      if (isStillAsked()) this.#showNoAnswer(error);
      throw error;
    }
  }

  #show({ drivers, complete, missing }: NearbyAnswer, status: string): void {
    this.#drivers = drivers;
    this.#isAsking = false;
    const found =
      drivers.length === 0 ? `No ${status} driver within 50 km` : `${drivers.length} nearest, ${status}`;
    const reasons = [...new Set(missing.map(({ reason }) => reason))].join(', ');
    const verdict = complete ? `${found}.` : `${found}; a part of the area cannot be seen (${reasons}).`;
    setText(element('verdict'), verdict);
    element('answers').replaceChildren(...drivers.map((driver) => this.#line(driver)));
    this.#events.changed();
  }

  #showNoAnswer(error: unknown): void {
    this.#drivers = [];
    this.#isAsking = false;
    const why = error instanceof ApiError ? error.message : 'the API does not answer';
    setText(element('verdict'), `Not known: ${why}.`);
    element('answers').replaceChildren();
    this.#events.changed();
  }

  #line(driver: Driver): HTMLElement {
    const archived = driver.persisted ? 'persisted' : 'not persisted';
    const button = made('button');
    button.type = 'button';
    button.append(
      made('span', driver.driver_id, 'driver'),
      made('span', metres(driver.distance_m ?? 0), 'distance'),
      made('span', `${seconds(driver.age_ms)} old, provisional, ${archived}`, 'about'),
    );
    button.addEventListener('click', () => this.#events.picked(driver.driver_id));
    const item = made('li');
    item.append(button);
    return item;
  }

  /** For the map. */
  get shown(): { point: Point; hits: readonly Point[] } | null {
    return this.#point === null ? null : { point: this.#point, hits: this.#drivers };
  }
}

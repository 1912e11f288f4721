// One driver, chosen on the map or by id: shows what is known, keeps it up to date, and follows the driver on request.

import { type Api, ApiError, type Driver } from './api.js';
import { element, made, setText } from './dom.js';
import type { Scene } from './live-canvas.js';
import { clock, pointText, seconds } from './units.js';

const KMH_EACH_MPS = 3.6;

export interface CardEvents {
  /** The driver, or whether it is followed, has changed. */
  changed(): void;
  /** A newer position of the driver. */
  moved(driver: Driver): void;
}

export class DriverCard {
  readonly #api: Api;
  readonly #events: CardEvents;
  #driverId: string | null = null;
  #driver: Driver | null = null;
  #isFollowing = false;

  constructor(api: Api, events: CardEvents) {
    this.#api = api;
    this.#events = events;
    element('card-close').addEventListener('click', () => this.close());
    element('follow').addEventListener('click', () => this.follow(!this.#isFollowing));
  }

  get driverId(): string | null {
    return this.#driverId;
  }

  get isFollowing(): boolean {
    return this.#isFollowing;
  }

  get driver(): Driver | null {
    return this.#driver;
  }

  open(driverId: string, isFollowing = false): void {
    if (driverId !== this.#driverId) {
      this.#driver = null;
      element('card-facts').replaceChildren();
    }
    this.#driverId = driverId;
    element('card').hidden = false;
    setText(element('card-title'), driverId);
    this.#note('');
    this.follow(isFollowing);
  }

  close(): void {
    this.#driverId = null;
    this.#driver = null;
    element('card').hidden = true;
    this.follow(false);
  }

  follow(wanted: boolean): void {
    this.#isFollowing = wanted;
    element('follow').setAttribute('aria-pressed', String(wanted));
    this.#events.changed();
    if (this.#driver) this.#events.moved(this.#driver);
  }

  /** For the poll. Returns whether the driver is known at all. */
  async askAgain(): Promise<void> {
    const asked = this.#driverId;
    if (asked === null) return;
    try {
      const driver = await this.#api.driver(asked);
      if (this.#driverId !== asked) return;
      this.#driver = driver;
      this.#note(driver.complete ? '' : 'A part of the map cannot be seen: a newer position may exist.');
      element('card-facts').replaceChildren(...facts(driver));
      this.#events.moved(driver);
    } catch (error) {
      if (this.#driverId !== asked) return;
      this.#note(error instanceof ApiError ? error.message : 'The API does not answer.');
      throw error;
    }
  }

  #note(text: string): void {
    setText(element('card-note'), text);
    element('card-note').hidden = text === '';
  }

  /** For the map. */
  get shown(): Scene['selected'] {
    if (this.#driver === null) return null;
    const { driver_id, lat, lon, status, heading_deg } = this.#driver;
    const kind = status === 'available' ? 'available' : 'busy';
    const image = `${kind}-${heading_deg === null ? 'dot' : 'arrow'}` as const;
    return { id: driver_id, lat, lon, image, headingDeg: heading_deg ?? 0 };
  }
}

function facts(driver: Driver): HTMLElement[] {
  const { heading_deg, speed_mps } = driver;
  const known: [string, string][] = [
    ['Status', driver.status],
    ['Position', `${pointText(driver)}, provisional`],
    ['Heading', heading_deg === null ? 'not reported' : `${Math.round(heading_deg)}°`],
    ['Speed', speed_mps === null ? 'not reported' : `${Math.round(speed_mps * KMH_EACH_MPS)} km/h`],
    ['Recorded', `${clock(Date.parse(driver.recorded_at))}, ${seconds(driver.age_ms)} ago`],
    ['Persisted', driver.persisted ? 'yes, in the archive' : 'not yet'],
  ];
  return known.flatMap(([name, value]) => [made('dt', name), made('dd', value)]);
}

// Drivers of one city, dense in the middle and thin at the edge, and the streets between them.
import { settings } from './settings.js';

const SIGMA_M = 8000;
const METRES_PER_DEGREE = 111_195;
const SPEED_MPS = [6, 15];
const TURN_CHANCE = 0.2;
const { lat: CENTRE_LAT, lon: CENTRE_LON } = settings.centre;
const LON_METRES = METRES_PER_DEGREE * Math.cos((CENTRE_LAT * Math.PI) / 180);

/** mulberry32, as k6's Math.random takes no seed. */
export function seededRandom(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** East and north of the centre, in metres. */
function somewhere(random) {
  const distance = Math.sqrt(-2 * Math.log(1 - random())) * SIGMA_M;
  const angle = 2 * Math.PI * random();
  return { east: distance * Math.sin(angle), north: distance * Math.cos(angle) };
}

const toE7 = (degrees) => Math.round(degrees * 1e7) / 1e7;
const onMap = ({ east, north }) => ({
  lat: toE7(CENTRE_LAT + north / METRES_PER_DEGREE),
  lon: toE7(CENTRE_LON + east / LON_METRES),
});

export const somePlace = (random) => onMap(somewhere(random));

/** Waits, takes a passenger somewhere, waits again; turns at corners. */
export class Vehicle {
  #random;
  #at;
  #headingDeg;
  #speedMps;
  #busy;
  #leftS;

  constructor(random) {
    this.#random = random;
    this.#at = somewhere(random);
    this.#headingDeg = 90 * Math.floor(4 * random());
    this.#speedMps = SPEED_MPS[0] + (SPEED_MPS[1] - SPEED_MPS[0]) * random();
    this.#busy = random() < 0.5;
    this.#leftS = settings.tripS * random(); // in the middle of something
  }

  /** True if a trip has ended on the way. */
  advance(seconds) {
    const metres = this.#speedMps * seconds;
    const angle = (this.#headingDeg * Math.PI) / 180;
    this.#at.east += metres * Math.sin(angle);
    this.#at.north += metres * Math.cos(angle);
    if (this.#random() < TURN_CHANCE) {
      this.#headingDeg = (this.#headingDeg + (this.#random() < 0.5 ? 90 : 270)) % 360;
    }
    this.#leftS -= seconds;
    if (this.#leftS > 0) return false;
    const ended = this.#busy;
    this.#busy = !ended;
    this.#leftS = settings.tripS * (0.5 + this.#random());
    return ended;
  }

  report() {
    return {
      ...onMap(this.#at),
      heading_deg: this.#headingDeg,
      speed_mps: Math.round(this.#speedMps * 100) / 100,
      accuracy_m: 5,
      status: this.#busy ? 'busy' : 'available',
      services: 1,
    };
  }
}

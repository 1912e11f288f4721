// A seeded fleet in one city: dense in the middle, thin at the edge.

export interface Place {
  id: string;
  lat: number;
  lon: number;
}

const CENTRE = { lat: 52.2297, lon: 21.0122 };
/** A large city: two of three drivers within 12 km of the middle. */
const SIGMA_KM = 8;
const KM_PER_DEGREE = 111.2;

/** mulberry32 */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

export function cityFleet(count: number, seed: number, sigmaKm = SIGMA_KM): Place[] {
  const random = seeded(seed);
  return Array.from({ length: count }, (_, i) => {
    const distance = Math.sqrt(-2 * Math.log(1 - random())) * sigmaKm;
    const angle = 2 * Math.PI * random();
    const lat = CENTRE.lat + (distance * Math.cos(angle)) / KM_PER_DEGREE;
    const widen = Math.cos((CENTRE.lat * Math.PI) / 180) * KM_PER_DEGREE;
    return { id: `driver-${i}`, lat, lon: CENTRE.lon + (distance * Math.sin(angle)) / widen };
  });
}

// A seeded fleet in one city: dense in the middle, thin at the edge.
import { seededRandom } from '@whereabouts/infra/seeded-random';

export interface Place {
  id: string;
  lat: number;
  lon: number;
}

const CENTRE = { lat: 52.2297, lon: 21.0122 };
/** A large city: two of three drivers within 12 km of the middle. */
const SIGMA_KM = 8;
const KM_PER_DEGREE = 111.2;

export function cityFleet(count: number, seed: number, sigmaKm = SIGMA_KM): Place[] {
  const { next: random } = seededRandom(seed);
  return Array.from({ length: count }, (_, i) => {
    const distance = Math.sqrt(-2 * Math.log(1 - random())) * sigmaKm;
    const angle = 2 * Math.PI * random();
    const lat = CENTRE.lat + (distance * Math.cos(angle)) / KM_PER_DEGREE;
    const widen = Math.cos((CENTRE.lat * Math.PI) / 180) * KM_PER_DEGREE;
    return { id: `driver-${i}`, lat, lon: CENTRE.lon + (distance * Math.sin(angle)) / widen };
  });
}

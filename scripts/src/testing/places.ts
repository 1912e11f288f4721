// Finds places on a partition map.
import { buildPartitionMap, type PartitionMap } from '@whereabouts/infra/partition-map';
import type { Random } from '@whereabouts/infra/seeded-random';

export interface Place {
  lat: number;
  lon: number;
}

/** Within this many degrees; the world continues beyond the antimeridian, and ends at Redis's limit of latitude. */
export function around({ lat, lon }: Place, degrees: number, random: Random): Place {
  const east = lon + random.between(-degrees, degrees);
  const north = lat + random.between(-degrees, degrees);
  const end = 85.0511287;
  return { lat: Math.max(-end, Math.min(end, north)), lon: ((((east + 180) % 360) + 360) % 360) - 180 };
}

/** As many partitions as usual, all of them within these places. */
export function mapOf(places: readonly Place[], degrees: number, random: Random): PartitionMap {
  const sample = places.flatMap((place) =>
    Array.from({ length: 3_000 }, () => around(place, degrees * Math.abs(random.normal()) * 0.5, random)),
  );
  return buildPartitionMap(sample);
}

/** Neighbouring places, each in another partition than the one before. */
export function acrossBorders(map: PartitionMap, from: Place, count: number, random: Random): Place[] {
  const found = [from];
  for (let reach = 0.001; found.length < count; reach *= 1.01) {
    const last = found.at(-1) as Place;
    const next = around(from, reach, random);
    if (map.partitionOf(next.lat, next.lon) !== map.partitionOf(last.lat, last.lon)) found.push(next);
  }
  const first = found[0] as Place;
  const last = found.at(-1) as Place;
  if (map.partitionOf(first.lat, first.lon) === map.partitionOf(last.lat, last.lon)) found.pop();
  return found;
}

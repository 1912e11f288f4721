// Drivers of one city, as many in each partition, and their reports round by round.

import { buildPartitionMap, type PartitionMap } from '@whereabouts/infra/partition-map';
import { validatePosition } from '@whereabouts/infra/position';
import { cityFleet, type Place } from '../load/places.js';
import type { PlacedPosition } from '../postgres/upsert-statement.js';

/** Partitions differ by a half in either direction, and the fullest ones are cut to the size of the others. */
const SURPLUS = 1.6;
const SESSION = 1_700_000_000_000;
/** About 20 m on the ground, there and back. */
const STEP_DEG = 0.00018;

export class PlacedFleet {
  readonly map: PartitionMap;
  readonly byPartition: Place[][];
  #round = 0;

  constructor(drivers: number, seed: number) {
    const places = cityFleet(Math.ceil(drivers * SURPLUS), seed);
    this.map = buildPartitionMap(places);
    const all: Place[][] = Array.from({ length: this.map.partitions }, () => []);
    for (const place of places) all[this.map.partitionOf(place.lat, place.lon)]?.push(place);
    const each = Math.min(
      Math.floor(drivers / this.map.partitions),
      ...all.map((partition) => partition.length),
    );
    this.byPartition = all.map((partition) => partition.slice(0, each));
  }

  get driversEach(): number {
    return this.byPartition[0]?.length ?? 0;
  }

  get drivers(): number {
    return this.driversEach * this.map.partitions;
  }

  /** Of all drivers, newer than the round before, partition by partition. */
  nextRound(): PlacedPosition[][] {
    const round = ++this.#round;
    const recordedAtMs = Date.now();
    return this.byPartition.map((places, partition) =>
      places.map(({ id, lat, lon }, i) => {
        const heading = (i * 37 + round * 11) % 360;
        const report = {
          seq: round,
          recordedAtMs,
          lat: lat + STEP_DEG * (round % 2),
          lon,
          headingDeg: heading,
          speedMps: (i + round) % 20,
          accuracyM: 5,
        };
        return { partition, position: validatePosition(report, id, SESSION) };
      }),
    );
  }
}

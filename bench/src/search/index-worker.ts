// The product's index and its search, in a separate process: the cost of taking in a record, of answering a question,
// and of a driver in memory. A service cannot be imported, so they are loaded from query-api's build output.
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Position } from '@whereabouts/infra/position';
import { BatchWriter, eachRecord } from '@whereabouts/infra/record';
import { root } from '@whereabouts/scripts/home';
import { cityFleet } from '../load/places.js';
import { FLEET_SEED, isAvailable, questionsAbout } from '../stores/city.js';
import { positionOf } from '../stores/store-under-test.js';

export interface IndexTask {
  drivers: number;
  sigmaKm: number | undefined;
  radiusM: number;
  limit: number;
  seconds: number;
}

export interface IndexReport {
  takeUs: number;
  findUs: number;
  bytesPerDriver: number;
  /** In an answer, on average. */
  found: number;
}

/** query-api/src/driver-index.ts, with the parts used here. */
interface DriverIndex {
  take(
    partition: number,
    driverId: string,
    bytes: Buffer,
    bodyAt: number,
    bodyEnd: number,
    id: { term: number; revision: number },
  ): boolean;
  readonly drivers: number;
}

/** query-api/src/nearest.ts */
interface NearestSearch {
  find(question: object, nowMs: number): void;
  readonly count: number;
}

const FRESHNESS_MS = 3_600_000;
const PARTITION = 0;
const WARM_UP_S = 1;

const load = (module: string) => import(pathToFileURL(join(root, 'query-api', 'dist', `${module}.js`)).href);

async function emptyIndex(): Promise<{ index: DriverIndex; search: NearestSearch }> {
  const { DriverIndex } = await load('driver-index');
  const { NearestSearch } = await load('nearest');
  const options = {
    partitions: 1,
    freshnessMs: FRESHNESS_MS,
    sweepAfterMs: 2 * FRESHNESS_MS,
    isFlushed: () => true,
  };
  const index = new DriverIndex(options) as DriverIndex;
  return { index, search: new NearestSearch(index) as NearestSearch };
}

function takeAll(index: DriverIndex, fleet: readonly Position[]): number {
  const writer = new BatchWriter();
  for (const position of fleet) writer.add(position);
  const batch = writer.bytes();
  const startedMs = performance.now();
  eachRecord(batch, (driverId, from, to) => {
    index.take(PARTITION, driverId, batch, from, to, { term: 1, revision: 1 });
  });
  return (1_000 * (performance.now() - startedMs)) / fleet.length;
}

async function run({ drivers, sigmaKm, radiusM, limit, seconds }: IndexTask): Promise<IndexReport> {
  const places = cityFleet(drivers, FLEET_SEED, sigmaKm);
  const nowMs = Date.now();
  const fleet = places.map((place, i) => positionOf(place, isAvailable(i) ? 'available' : 'busy', nowMs));
  const { index, search } = await emptyIndex();
  globalThis.gc?.();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  const takeUs = takeAll(index, fleet);
  globalThis.gc?.();
  const after = process.memoryUsage();
  if (index.drivers !== drivers) throw new Error(`the index has ${index.drivers} of ${drivers} drivers`);
  const questions = questionsAbout(places).map(({ lat, lon }) => ({
    ...{ lat, lon, radiusM, limit, maxAgeMs: FRESHNESS_MS },
    ...{ status: 'available', services: 0, exclude: [] },
  }));
  const ask = (forS: number) => {
    let asked = 0;
    let found = 0;
    const startedMs = performance.now();
    for (; performance.now() - startedMs < forS * 1_000; asked++) {
      search.find(questions[asked % questions.length] as object, nowMs);
      found += search.count;
    }
    return { us: (1_000 * (performance.now() - startedMs)) / asked, found: found / asked };
  };
  ask(WARM_UP_S);
  const { us: findUs, found } = ask(seconds);
  const bytes = after.heapUsed - heapUsed + after.arrayBuffers - arrayBuffers;
  return { takeUs, findUs, bytesPerDriver: bytes / drivers, found };
}

process.once('message', async (task) => {
  process.send?.(await run(task as IndexTask));
  process.disconnect();
});

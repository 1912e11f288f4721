// Reads the large cities for places.ts, in a separate thread.
import { parentPort } from 'node:worker_threads';
import { readPlaces } from './city-list.js';

/** Large enough to be known elsewhere. */
const BIG = 100_000;

parentPort?.postMessage(readPlaces().filter(({ population }) => population >= BIG));

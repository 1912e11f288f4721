// Reads the large cities for places.ts, in a thread of its own.
import { parentPort } from 'node:worker_threads';
import { readPlaces } from './city-list.js';

/** People elsewhere have heard of them. */
const BIG = 100_000;

parentPort?.postMessage(readPlaces().filter(({ population }) => population >= BIG));

// Whether this process can answer. One dark region leaves it ready. It is not ready with another map, without any
// master, while the index has not been read, or if a question of our own finds no answer.

import { blockBounds } from '@whereabouts/infra/geohash';
import { MAX_LATITUDE } from '@whereabouts/infra/position';
import type { ReadinessReport } from '@whereabouts/infra/service/shell';
import { answerNearby } from './nearby.js';
import { Problem } from './problem.js';
import { askQuestion, type Ground } from './questions.js';
import { JSON_TYPE } from './route-schema.js';
import { weightOfCircles } from './weight.js';

type Check = ReadinessReport['checks'][number];

/** Within the ops listener's limit of 900 ms. */
const QUESTION_MS = 400;
const AGAIN_AFTER_MS = 20;
/** Never a token's subject, as those contain no blanks. */
const CALLER = 'the readiness of this process';
const QUESTION = {
  radius_m: 1_000,
  limit: 1,
  status: 'available',
  services: 0,
  exclude: [] as string[],
} as const;

export async function readinessOf(ground: Ground): Promise<ReadinessReport> {
  const checks = [mastersOf(ground), mapOf(ground), indexOf(ground), await questionOf(ground)];
  return { ready: checks.every(({ ok }) => ok), checks: [...checks, healthOf(ground)] };
}

function mastersOf({ store }: Ground): Check {
  const masters = store.mastersReachable();
  return { name: 'masters', ok: masters > 0, detail: `${masters} reachable` };
}

function mapOf({ store, follower }: Ground): Check {
  const { hash } = store.map;
  const foreign = follower.partitions.filter(({ error }) => error?.code === 'map_mismatch').length;
  const detail = foreign === 0 ? hash : `${foreign} partitions are written under another map than ${hash}`;
  return { name: 'partition_map', ok: foreign === 0, detail };
}

/** At first, every reachable partition has to be read once. */
function indexOf({ follower, index, views }: Ground): Check {
  const read = follower.partitions.filter(({ viewAtMs }) => viewAtMs !== null).length;
  const ageMs = views.viewAgeMs();
  const view = ageMs === null ? '' : `, the oldest view is ${ageMs} ms old`;
  const detail = `${index.drivers} drivers, ${read} of ${follower.partitions.length} partitions read${view}`;
  return { name: 'index', ok: follower.wasCaughtUp, detail };
}

function healthOf({ follower, views }: Ground): Check {
  const counts = new Map<string, number>();
  for (const { partition } of follower.partitions) {
    const health = views.reasonOf(partition) ?? 'ok';
    counts.set(health, (counts.get(health) ?? 0) + 1);
  }
  const detail = [...counts].map(([health, count]) => `${count} ${health}`).join(', ');
  return { name: 'partitions', ok: counts.size === 1 && counts.has('ok'), detail };
}

/** Asks for the nearest drivers, like any caller, at a place that is seen. */
async function questionOf(ground: Ground): Promise<Check> {
  const name = 'question';
  const seen = ground.follower.partitions.find(({ partition }) => ground.views.isSeen(partition));
  if (!seen) return { name, ok: false, detail: 'no partition is seen' };
  try {
    return { name, ok: true, detail: await ask(ground, seen.partition) };
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    return { name, ok: false, detail: error.message };
  }
}

/** If there is no free capacity, it waits for it as long as it can: a busy process is a ready one. */
async function ask(ground: Ground, partition: number): Promise<string> {
  const untilMs = performance.now() + QUESTION_MS;
  const parameters = { ...placeIn(ground, partition), ...QUESTION, max_age_ms: ground.freshnessMs };
  const question = { caller: CALLER, route: 'readyz', weight: weightOfCircles([parameters]) };
  for (;;) {
    try {
      askQuestion(ground, question, (looked) => answerNearby(ground, parameters, looked, JSON_TYPE));
      return 'answered';
    } catch (error) {
      const isFull =
        error instanceof Problem && (error.code === 'overloaded' || error.code === 'too_many_at_once');
      if (!isFull || performance.now() + AGAIN_AFTER_MS >= untilMs) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, AGAIN_AFTER_MS));
  }
}

/** The middle of the partition's stretch of the curve. */
function placeIn({ store }: Ground, partition: number): { lat: number; lon: number } {
  const { from, to } = store.map.cellRange(partition);
  const { minLat, minLon } = blockBounds(Math.floor((from + to) / 2), 1);
  return { lat: Math.max(-MAX_LATITUDE, Math.min(MAX_LATITUDE, minLat)), lon: minLon };
}

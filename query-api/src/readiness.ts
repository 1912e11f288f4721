// Whether this process can answer. One dark region leaves it ready; another map, no master at all, or a question of
// our own that finds no answer does not.

import { blockBounds } from '@whereabouts/infra/geohash';
import { MAX_LATITUDE } from '@whereabouts/infra/position';
import type { ReadinessReport } from '@whereabouts/infra/service/shell';
import type { Static } from 'typebox';
import { Asking } from './asking.js';
import { answerNearby } from './nearby.js';
import { lookAtPartitions } from './partitions.js';
import { Problem } from './problem.js';
import { askQuestion, type Ground } from './questions.js';
import type { Partition } from './schemas.js';
import { weightOfCircles } from './weight.js';

type Check = ReadinessReport['checks'][number];
type PartitionState = Static<typeof Partition>;

// Both within what the ops listener waits for: 900 ms.
const LOOK_MS = 400;
const QUESTION_MS = 400;
const AGAIN_AFTER_MS = 20;
/** No token's subject, as those have no blanks. */
const CALLER = 'the readiness of this process';

export async function readinessOf(ground: Ground): Promise<ReadinessReport> {
  const partitions = await look(ground);
  const checks = [mastersOf(ground), mapOf(ground, partitions), await questionOf(ground, partitions)];
  return { ready: checks.every(({ ok }) => ok), checks: [...checks, healthOf(partitions)] };
}

async function look(ground: Ground): Promise<PartitionState[]> {
  const asking = new Asking(ground.lanes, CALLER, LOOK_MS);
  try {
    return await lookAtPartitions(ground, asking);
  } finally {
    asking.end();
  }
}

function mastersOf({ store }: Ground): Check {
  const masters = store.mastersReachable();
  return { name: 'masters', ok: masters > 0, detail: `${masters} reachable` };
}

function mapOf({ store }: Ground, partitions: readonly PartitionState[]): Check {
  const { hash } = store.map;
  const foreign = partitions.filter(({ health }) => health === 'map_mismatch').length;
  const detail = foreign === 0 ? hash : `${foreign} partitions are written under another map than ${hash}`;
  return { name: 'partition_map', ok: foreign === 0, detail };
}

function healthOf(partitions: readonly PartitionState[]): Check {
  const counts = new Map<string, number>();
  for (const { health } of partitions) counts.set(health, (counts.get(health) ?? 0) + 1);
  const detail = [...counts].map(([health, count]) => `${count} ${health}`).join(', ');
  return { name: 'partitions', ok: counts.size === 1 && counts.has('ok'), detail };
}

/** Who is nearest, as any caller asks it, at one place of each node: one answer is enough. */
async function questionOf(ground: Ground, partitions: readonly PartitionState[]): Promise<Check> {
  const name = 'question';
  const untilMs = performance.now() + QUESTION_MS;
  const oneOfEach = new Map<string, number>();
  for (const { node, drivers, partition } of partitions) {
    // Those that told of themselves just now.
    if (node !== null && drivers !== null) oneOfEach.set(String(node), partition);
  }
  const questions = [...oneOfEach.values()].map((partition) => ask(ground, partition, untilMs));
  try {
    return { name, ok: true, detail: await Promise.any(questions) };
  } catch (error) {
    const [first] = (error as AggregateError).errors;
    const detail = first instanceof Problem ? first.message : 'no partition can be asked';
    return { name, ok: false, detail };
  }
}

/** Where there is no place for it yet, it waits for one as long as it can: a busy process is a ready one. */
async function ask(ground: Ground, partition: number, untilMs: number): Promise<string> {
  const question = { ...placeIn(ground, partition), ...QUESTION, max_age_ms: ground.freshnessMs };
  for (;;) {
    const requestDeadlineMs = Math.max(1, untilMs - performance.now());
    try {
      await askQuestion(
        { ...ground, requestDeadlineMs },
        {
          ...{ caller: CALLER, route: 'readyz', weight: weightOfCircles([question]) },
          answer: (asking) => answerNearby(ground, question, asking),
        },
      );
      return 'answered';
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      const isFull = error.code === 'overloaded' || error.code === 'too_many_at_once';
      if (!isFull || performance.now() + AGAIN_AFTER_MS >= untilMs) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, AGAIN_AFTER_MS));
  }
}

const QUESTION = {
  radius_m: 1_000,
  limit: 1,
  status: 'available',
  services: 0,
  exclude: [] as string[],
} as const;

/** The middle of its stretch of the curve. */
function placeIn({ store }: Ground, partition: number): { lat: number; lon: number } {
  const { from, to } = store.map.cellRange(partition);
  const { minLat, minLon } = blockBounds(Math.floor((from + to) / 2), 1);
  return { lat: Math.max(-MAX_LATITUDE, Math.min(MAX_LATITUDE, minLat)), lon: minLon };
}

// A dispatcher in a region: asks for the nearest drivers in each of its partitions in turn, and records what the answer
// lacks.
import type { PartitionMap } from '@whereabouts/infra/partition-map';
import type { Answer } from '../outside/dispatcher.js';
import { spotOf } from './drill-driver.js';
import type { AnswerSeen } from './observations.js';

const ASK_EVERY_MS = 50;
/** Within the cell of the drivers, so no other region is asked. */
const ASK_RADIUS_M = 100;
const LIMIT = 50;

export interface RegionWatchOptions {
  map: PartitionMap;
  partitions: readonly number[];
  get(path: string): Promise<{ status: number; body: unknown }>;
  /** Drivers that are there and have been acknowledged. */
  expected(partition: number): readonly string[];
  seen(answer: AnswerSeen): void;
  isOver(): boolean;
}

/** What an answer about a partition lacks: drivers, and the partition's name if it is incomplete. */
export function judgeAnswer(
  { complete, missing, drivers }: Pick<Answer, 'complete' | 'missing'> & { drivers: { driver_id: string }[] },
  range: { from: string; to: string },
  expected: readonly string[],
): Pick<AnswerSeen, 'answer' | 'isNamed' | 'lacking'> {
  const isNamed = missing.some(({ from, to, reason }) => from < range.to && range.from < to && reason !== '');
  const found = new Set(drivers.map(({ driver_id }) => driver_id));
  // A full answer does not show which drivers come after it.
  const lacking = drivers.length >= LIMIT ? [] : expected.filter((id) => !found.has(id));
  return { answer: complete ? 'complete' : 'partial', isNamed: complete || isNamed, lacking: lacking.length };
}

export async function watchRegion({
  map,
  partitions,
  get,
  expected,
  seen,
  isOver,
}: RegionWatchOptions): Promise<void> {
  for (let i = 0; !isOver(); i++) {
    const atMs = performance.now();
    const partition = partitions[i % partitions.length] as number;
    const { lat, lon } = spotOf(map, partition);
    const path = `/v1/drivers/nearby?lat=${lat}&lon=${lon}&radius_m=${ASK_RADIUS_M}&limit=${LIMIT}`;
    // A driver acknowledged meanwhile need not be in the answer.
    const ids = expected(partition);
    let judged: ReturnType<typeof judgeAnswer> = { answer: 'failed', isNamed: true, lacking: 0 };
    try {
      const { status, body } = await get(path);
      if (status === 200) judged = judgeAnswer(body as Answer, map.range(partition), ids);
    } catch {
      // no answer in time, or no connection: failed
    }
    seen({ atMs, tookMs: performance.now() - atMs, partition, ...judged });
    await new Promise((done) => setTimeout(done, Math.max(0, atMs + ASK_EVERY_MS - performance.now())));
  }
}

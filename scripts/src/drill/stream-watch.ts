// A dispatcher who follows the drivers of a region by a stream, and compares it with a question every second.
import { setTimeout as sleep } from 'node:timers/promises';
import { NearbyReader } from '@whereabouts/infra/local/nearby-reader';
import type { Answer } from '../outside/dispatcher.js';
import type { StreamSeen } from './observations.js';

const LOOK_EVERY_MS = 1_000;
const AGAIN_AFTER_MS = 50;
/** Later than this it counts as never. */
const PATIENCE_MS = 10_000;
const ASKED = '&radius_m=2000&limit=50';

export interface StreamWatchOptions {
  url: string;
  authorization: string;
  spot: { lat: number; lon: number };
  get(path: string): Promise<{ status: number; body: unknown }>;
  seen(look: StreamSeen): void;
  isOver(): boolean;
}

/** The same drivers, and equally complete. */
export function isSame(
  { view, drivers }: Pick<NearbyReader, 'view' | 'drivers'>,
  answer: Pick<Answer, 'complete'> & { drivers: { driver_id: string }[] },
): boolean {
  if (view === null || view.complete !== answer.complete || drivers.size !== answer.drivers.length)
    return false;
  return answer.drivers.every(({ driver_id }) => drivers.has(driver_id));
}

export async function watchStream({
  url,
  authorization,
  spot: { lat, lon },
  get,
  seen,
  isOver,
}: StreamWatchOptions): Promise<void> {
  const query = `lat=${lat}&lon=${lon}${ASKED}`;
  const reader = new NearbyReader({ url: () => `${url}/v1/drivers/nearby/stream?${query}`, authorization });
  const ask = async () => {
    const reply = await get(`/v1/drivers/nearby?${query}`).catch(() => null);
    return reply?.status === 200 ? (reply.body as Answer) : null;
  };
  while (!isOver()) {
    let atMs = performance.now();
    let answer = await ask();
    while (!isOver() && (answer === null || !isSame(reader, answer))) {
      // A question without an answer gives nothing to compare with.
      if (answer === null) atMs = performance.now();
      else if (performance.now() - atMs > PATIENCE_MS) break;
      await sleep(AGAIN_AFTER_MS);
      answer = await ask();
    }
    if (answer === null || isOver()) break;
    seen({ atMs, tookMs: isSame(reader, answer) ? performance.now() - atMs : null });
    await sleep(Math.max(0, atMs + LOOK_EVERY_MS - performance.now()));
  }
  await reader.close();
}

// The newest record of each of some drivers. It may stand in any partition, and an older one in another, so all are
// asked, and the newest wins.

import type { LivePosition } from '@whereabouts/infra/live-store/answers';
import type { LiveStore } from '@whereabouts/infra/live-store/live-store';
import { isNewer } from '@whereabouts/infra/position';
import type { Asking } from './asking.js';
import type { MissingPartition } from './missing.js';

export interface Seen {
  position: LivePosition;
  /** The node's own time when it answered. */
  nowMs: number;
}

export interface Newest {
  seen: Map<string, Seen>;
  missing: MissingPartition[];
  answered: number;
}

export async function newestOf(store: LiveStore, ids: readonly string[], asking: Asking): Promise<Newest> {
  const seen = new Map<string, Seen>();
  const missing: MissingPartition[] = [];
  let answered = 0;
  const askOne = async (partition: number) => {
    const answer = await asking.ask(store.nodeOf(partition), () => store.get(partition, ids));
    if (typeof answer === 'string') {
      missing.push({ partition, reason: answer });
      return;
    }
    answered++;
    const { found, nowMs, health } = answer;
    if (health !== 'ok') missing.push({ partition, reason: health });
    for (const position of found) if (position) keepNewest(seen, position, nowMs);
  };
  await Promise.all(Array.from({ length: store.map.partitions }, (_, partition) => askOne(partition)));
  return { seen, missing, answered };
}

export function keepNewest(seen: Map<string, Seen>, position: LivePosition, nowMs: number): void {
  const other = seen.get(position.driverId);
  if (!other || isNewer(position, other.position)) seen.set(position.driverId, { position, nowMs });
}

// What a partition's log and snapshot say of each driver, read as followers do.
import type { LogStore } from '@whereabouts/infra/live-store/log-store';
import { isNewer, type Position } from '@whereabouts/infra/position';
import { decodeBody, eachRecord, FIRST_ID, splitValue } from '@whereabouts/infra/record';

export async function newestOf(store: LogStore, partition: number): Promise<Map<string, Position>> {
  const newest = new Map<string, Position>();
  const take = (driverId: string, body: Buffer) => {
    const position = decodeBody(driverId, body);
    const known = newest.get(driverId);
    if (known === undefined || !isNewer(known, position)) newest.set(driverId, position);
  };
  for (let after = FIRST_ID; ; ) {
    const { entries } = await store.entries(partition, after, 500);
    for (const { batch } of entries)
      eachRecord(batch, (driverId, from, to) => take(driverId, batch.subarray(from, to)));
    const last = entries.at(-1);
    if (last === undefined) break;
    after = last.id;
  }
  let cursor: string | null = null;
  let place: string | null = null;
  do {
    const page = await store.snapshot(partition, { cursor, place, pageSize: 1000 });
    for (const [driverId, value] of page.values) {
      const split = splitValue(value);
      if (split !== null) take(driverId, split.body);
    }
    ({ cursor, place } = page);
  } while (cursor !== null);
  return newest;
}

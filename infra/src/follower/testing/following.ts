// A follower of a cluster under test, and what tests ask of it.

import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { waitFor } from '../../../local/server-process.js';
import type { LogFixture } from '../../live-store/testing/log-fixture.js';
import { QUIET } from '../../live-store/testing/store-fixture.js';
import type { FollowedPartition } from '../followed-partition.js';
import { Follower } from '../follower.js';
import { folded, type Held, MapSink } from './map-sink.js';

const DEADLINE_MS = 20_000;
const POLL_MS = 10;
/** Instead of a time: the test polls. */
export const BY_HAND = null;

export interface Following {
  follower: Follower;
  sink: MapSink;
  of(p: number): FollowedPartition;
}

/** `only`: the partitions that are held, the test's own. */
export async function follow(
  t: TestContext,
  fixture: LogFixture,
  only: readonly number[],
  pollMs: number | null = POLL_MS,
): Promise<Following> {
  const reader = await fixture.connect({ readOnly: true, loadsFunctions: false });
  const sink = new MapSink(only);
  const follower = new Follower({ store: reader, sink, log: QUIET, pollMs: pollMs ?? POLL_MS });
  if (pollMs !== BY_HAND) await follower.start();
  t.after(() => follower.stop());
  return { follower, sink, of: (p) => follower.partitions[p] as FollowedPartition };
}

export async function until(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  await waitFor(what, DEADLINE_MS, async () => (await holds()) || undefined);
}

/** Everything that was written before is in the sink. */
export async function seen({ of }: Following, ...partitions: number[]): Promise<void> {
  const nowMs = performance.now();
  await until('all is seen', () => partitions.every((p) => (of(p).viewAtMs ?? 0) >= nowMs));
}

/** Where nobody polls: until it is followed again. */
export async function pollToEnd({ of }: Following, p: number): Promise<void> {
  const partition = of(p);
  await until(`partition ${p} is followed`, async () => {
    await partition.poll();
    if (partition.wantsSnapshot(performance.now())) await partition.readSnapshot();
    return partition.state === 'following' && partition.error === null;
  });
}

const orders = (held: Iterable<[string, Held]>) =>
  [...held].map(([id, { session, recordedAtMs }]) => `${id} ${session} ${recordedAtMs}`).sort();

const unmarked = ({ held }: MapSink) => [...held].filter(([, { mark }]) => mark === 'none');

export const markedIds = ({ held }: MapSink): string[] =>
  [...held].flatMap(([id, { mark }]) => (mark === 'none' ? [] : [id])).sort();

/** What is not marked is what the store holds, each record under an id that the store has. */
export async function assertFold(
  { sink }: Following,
  fixture: LogFixture,
  partitions: readonly number[],
  why = '',
): Promise<void> {
  const all = await folded(fixture.store, partitions);
  assert.deepEqual(orders(unmarked(sink)), orders(all), why);
}

// Random orders of reports, passes, crashes, sweeps and rewinds, while the table refuses a few drivers, many or all of
// them, on the real stores. A failing one prints its seed: WHEREABOUTS_SEED=17 node --test ...

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import {
  position,
  QUIET,
  type StoreFixture,
  startStore,
} from '@whereabouts/infra/live-store/testing/store-fixture';
import type { Position } from '@whereabouts/infra/position';
import { createMetrics } from '@whereabouts/infra/service/metrics';
import { FAILPOINTS, type Failpoint, type Reached } from './failpoint.js';
import { flushMetrics } from './flush-metrics.js';
import { FlushPass } from './flush-pass.js';
import { RefusedPositions } from './refused-positions.js';
import { type ArchiveFixture, startArchive } from './testing/archive-fixture.js';
import { seeded } from './testing/truth.js';

const PARTITION = 7;
const SEEDS = 15;
const STEPS = 40;
const DRIVERS = Array.from({ length: 30 }, (_, i) => `d${i}`);
/** Which rows the table takes. */
const TAKEN = [
  'true',
  `driver_id <> 'd0'`,
  `driver_id NOT IN ('d1', 'd2')`,
  'length(driver_id) = 2',
  'false',
];
const EVERYTHING_IS_OLD = { freshnessMs: -60_000, sweepAfterMs: -60_000 };
const NOTHING_IS_OLD = { freshnessMs: 10_000, sweepAfterMs: 300_000 };

class Crash extends Error {}

let redis: StoreFixture;
let postgres: ArchiveFixture;
before(async () => {
  [redis, postgres] = await Promise.all([startStore(), startArchive()]);
});
after(() => Promise.all([redis?.stop(), postgres?.stop()]));

class World {
  readonly newest = new Map<string, Position>();
  readonly #random: () => number;
  #reached: Reached = () => {};
  #flusher = this.#newFlusher();
  #seq = 0;

  constructor(seed: number) {
    this.#random = seeded(seed);
  }

  /** Returns what it did. */
  async step(): Promise<string> {
    const steps = [
      this.#report,
      this.#report,
      this.#pass,
      this.#pass,
      this.#pass,
      this.#crash,
      this.#alter,
      this.#rewind,
    ];
    const step = this.#pick(steps);
    return `${step.name.slice(1)} ${await step.call(this)}`;
  }

  /** The table is as it should be, and every refused one is tried again. */
  async end(): Promise<void> {
    await this.#take('true');
    for (let pass = 0; pass < 3; pass++) {
      this.#flusher.refused.tryAllAgain();
      await this.#run(NOTHING_IS_OLD);
    }
    assert.equal(this.#flusher.refused.count, 0);
    const { dirtySinceMs } = await redis.store.status(PARTITION);
    assert.equal(dirtySinceMs, null);
  }

  /** What is persisted stands in Postgres, and nothing that was acknowledged is nowhere. */
  async assertHolds(isEnd: boolean): Promise<void> {
    const { found } = await redis.store.get(PARTITION, DRIVERS);
    const rows = await postgres.sql(
      'SELECT driver_id, extract(epoch FROM recorded_at) * 1000 AS ms FROM driver_positions',
    );
    const archived = new Map(rows.map(({ driver_id, ms }) => [driver_id, Number(ms)]));
    for (const [i, id] of DRIVERS.entries()) {
      const last = this.newest.get(id)?.recordedAtMs;
      const [record, row] = [found[i], archived.get(id)];
      if (record?.persisted || isEnd) assert.equal(row, last, `${id} is to be in Postgres`);
      assert.ok(record?.recordedAtMs === last || row === last, `${id} is nowhere`);
    }
  }

  async #report(): Promise<string> {
    const some = DRIVERS.filter(() => this.#random() < 0.3);
    const batch = some.map((id) => {
      const last = this.newest.get(id)?.recordedAtMs ?? 0;
      return position(id, { recordedAtMs: Math.max(Date.now(), last + 1), seq: ++this.#seq });
    });
    if (batch.length > 0) await redis.store.record(PARTITION, batch);
    for (const each of batch) this.newest.set(each.driverId, each);
    return some.join(',');
  }

  async #pass(): Promise<string> {
    const isOld = this.#random() < 0.3;
    if (this.#random() < 0.3) this.#flusher.refused.tryAllAgain();
    const { archiveError, flushed } = await this.#run(isOld ? EVERYTHING_IS_OLD : NOTHING_IS_OLD);
    return `${isOld ? 'old ' : ''}${archiveError?.code ?? flushed}`;
  }

  async #crash(): Promise<string> {
    const where = this.#pick(FAILPOINTS);
    this.#reached = (step) => {
      if (step === where) throw new Crash();
    };
    await this.#run(NOTHING_IS_OLD).catch((error) => {
      if (!(error instanceof Crash)) throw error;
    });
    await this.#flusher.archive.close();
    this.#reached = () => {};
    this.#flusher = this.#newFlusher();
    return where;
  }

  async #alter(): Promise<string> {
    const taken = this.#pick(TAKEN);
    await this.#take(taken);
    return taken;
  }

  async #rewind(): Promise<string> {
    if (this.#random() > 0.3) return 'not';
    await redis.store.rewind(PARTITION, Date.now());
    return 'all';
  }

  async #take(taken: string): Promise<void> {
    await postgres.sql(`ALTER TABLE driver_positions DROP CONSTRAINT IF EXISTS odd,
      ADD CONSTRAINT odd CHECK (${taken}) NOT VALID`);
  }

  async #run(ages: { freshnessMs: number; sweepAfterMs: number }) {
    const shared = { store: redis.store, log: QUIET, flusherId: 'me' };
    const pass = new FlushPass({ ...shared, ...this.#flusher, ...ages });
    return pass.run([await redis.store.status(PARTITION)]);
  }

  /** What one process has for itself. */
  #newFlusher() {
    const reached = (step: Failpoint) => this.#reached(step);
    const metrics = flushMetrics(createMetrics('flusher', { commit: 'test' }));
    const archive = postgres.archive({ mapHash: redis.map.hash, reached });
    return {
      metrics,
      archive,
      reached,
      refused: new RefusedPositions({ store: redis.store, log: QUIET, metrics }),
    };
  }

  #pick<T>(choices: readonly T[]): T {
    return choices[Math.floor(this.#random() * choices.length)] as T;
  }
}

test('whatever the table refuses and whoever dies: nothing is lost, and persisted is true', async () => {
  const given = process.env.WHEREABOUTS_SEED;
  const seeds = given === undefined ? Array.from({ length: SEEDS }, (_, i) => i) : [Number(given)];
  for (const seed of seeds) {
    const world = new World(seed);
    const done: string[] = [];
    await postgres.sql('TRUNCATE driver_positions, flush_progress');
    await redis.command(PARTITION, 'FLUSHALL');
    try {
      for (let step = 0; step < STEPS; step++) {
        done.push(await world.step());
        await world.assertHolds(false);
      }
      await world.end();
      await world.assertHolds(true);
    } catch (cause) {
      throw new Error(`seed ${seed}: ${(cause as Error).message}\n${done.join('\n')}`, { cause });
    }
  }
});

// Reports, reconnections, checkpoints, losses and outages in random order on a real cluster, held against a small model.
// A run that fails prints its seed: WHEREABOUTS_SEED=17 node --test ...

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type LogFixture, startLogStore } from '@whereabouts/infra/live-store/testing/log-fixture';
import { QUIET } from '@whereabouts/infra/live-store/testing/store-fixture';
import { waitFor } from '@whereabouts/infra/local/server-process';
import { isNewer, type Position } from '@whereabouts/infra/position';
import { seededRandom } from '@whereabouts/infra/seeded-random';
import { createMetrics } from '@whereabouts/infra/service/metrics';
import { Recorder } from './recorder.js';
import { newestOf } from './testing/log-reader.js';
import { type Place, Told } from './testing/told.js';

const SEEDS = 8;
const STEPS = 120;
const DRIVERS = 12;
const DEADLINE_MS = 20_000;
const SETTINGS = {
  lossBudgetMs: 10_000,
  holdNackAfterMs: 150,
  tickMinMs: 5,
  tickMaxMs: 20,
  logMaxBytes: 1 << 23,
};
/** In partitions of each node, and two of one node. */
const PLACES: readonly Place[] = [
  { lat: 51.5, lon: -0.12 },
  { lat: 48.85, lon: 2.35 },
  { lat: 40.7, lon: -74 },
  { lat: -33.9, lon: 151.2 },
];

let fixture: LogFixture;
before(async () => {
  fixture = await startLogStore();
});
after(() => fixture.stop());

interface Model {
  connection: Told;
  /** How many reports older connections had been told of when they were replaced. */
  replaced: { connection: Told; accepted: number }[];
  seq: number;
  newest: Position | null;
}

class Run {
  readonly #random: () => number;
  readonly #recorder: Recorder;
  readonly #metrics = createMetrics('ingest', { commit: 'test' });
  readonly #drivers: Model[];
  /** By field: how often its driver was told that it is persisted. */
  readonly #checkpoints = new Map<string, { connection: Told; seq: number; isDone: boolean }>();
  readonly #recovering: Promise<unknown>[] = [];

  constructor(seed: number) {
    this.#random = seededRandom(seed).next;
    const o = { store: fixture.store, settings: SETTINGS, log: QUIET, metrics: this.#metrics };
    this.#recorder = new Recorder({ ...o, processId: `seed-${seed}` });
    this.#recorder.start();
    this.#drivers = Array.from({ length: DRIVERS }, () => ({
      connection: new Told(this.#recorder),
      replaced: [],
      seq: 0,
      newest: null,
    }));
  }

  async step(): Promise<void> {
    const driver = this.#any(this.#drivers);
    const what = this.#random();
    if (what < 0.6) this.#report(driver);
    else if (what < 0.68) this.#reconnect(driver);
    else if (what < 0.73) this.#renumber(driver);
    else if (what < 0.83) this.#checkpoint(driver);
    else if (what < 0.88) await this.#lose();
    else if (what < 0.9) await this.#fill();
    else if (what < 0.92) this.#freeze();
    else if (what < 0.95) await this.#persist();
    else await new Promise((resolve) => setTimeout(resolve, this.#random() * 60));
  }

  async judge(): Promise<void> {
    await Promise.all(this.#recovering);
    const { drivers } = this.#recorder;
    await waitFor('nothing waits any more', DEADLINE_MS, async () => {
      const isWaiting = this.#recorder.pendingReports() > 0 || drivers.underWay.some((count) => count > 0);
      return !isWaiting && (await this.#isWhole()) ? true : undefined;
    });
    for (const { connection, replaced, newest } of this.#drivers) {
      for (const one of replaced)
        assert.equal(acceptedOf(one.connection).length, one.accepted, 'told after its end');
      const told = acceptedOf(connection);
      // Not as the last one always: answers of two partitions cross.
      if (newest?.session === connection.session) assert.ok(told.includes(`accepted ${newest.seq}`));
    }
    await this.#judgeCheckpoints();
    assert.equal(
      drivers.waitsIn.subarray(0, drivers.end).every((p) => p === -1),
      true,
    );
    const [lost, healed, overtaken] = await Promise.all(
      ['lost', 'healed', 'overtaken_lost'].map((name) => this.#metric(`${name}_positions_total`)),
    );
    assert.equal(lost, (healed as number) + (overtaken as number));
    await this.#recorder.drain(1000);
  }

  // ---- what may happen

  #report(driver: Model): void {
    driver.newest = driver.connection.report(++driver.seq, { ...this.#any(PLACES), ...this.#later(driver) });
  }

  #reconnect(driver: Model): void {
    const { connection } = driver;
    driver.replaced.push({ connection, accepted: acceptedOf(connection).length });
    driver.connection = new Told(this.#recorder, connection.driverId);
    driver.connection.session = Math.max(driver.connection.session, connection.session + 1);
    driver.seq = 0;
  }

  #renumber({ connection, newest }: Model): void {
    const { drivers } = this.#recorder;
    connection.session += 1_000_000;
    if (newest !== null && drivers.generations[connection.slot] === connection.generation)
      newest.session = connection.session;
    if (drivers.renumber(connection.slot, connection)) this.#recorder.submit(connection.slot);
  }

  #checkpoint(driver: Model): void {
    const { connection } = driver;
    if (this.#recorder.waitingCheckpoints(connection.driverId, '') >= 10) return;
    const id = `trip-${this.#checkpoints.size}`;
    const seq = ++driver.seq;
    assert.ok(connection.checkpoint(seq, id, this.#any(PLACES)));
    this.#checkpoints.set(`${connection.driverId}:${id}`, { connection, seq, isDone: false });
  }

  /** All that the partition had is gone. */
  async #lose(): Promise<void> {
    const partition = this.#partitionOf(this.#any(PLACES));
    const tag = fixture.map.tagOf(partition);
    const keys = ['meta', 'log', 'snapshot', 'checkpoints'].map((name) => `${name}:{${tag}}`);
    await fixture.command(partition, 'DEL', ...keys).catch(() => {});
  }

  /** Its node is out of memory for a while. */
  async #fill(): Promise<void> {
    const partition = this.#partitionOf(this.#any(PLACES));
    const set = (value: string) => fixture.command(partition, 'CONFIG', 'SET', 'maxmemory', value);
    const isSet = await set('1').then(
      () => true,
      () => false,
    );
    if (!isSet) return;
    this.#recover(async () => {
      await waitFor('memory again', DEADLINE_MS, () => set('0').catch(() => undefined));
    });
  }

  #freeze(): void {
    const node = fixture.store.nodeOf(this.#partitionOf(this.#any(PLACES)));
    const port = Number(node?.split(':')[1]);
    fixture.cluster.kill(port, 'SIGSTOP');
    this.#recover(async () => fixture.cluster.kill(port, 'SIGCONT'));
  }

  async #persist(): Promise<void> {
    const fields = [...this.#checkpoints.keys()];
    if (fields.length === 0) return;
    const field = this.#any(fields);
    const checkpoint = this.#checkpoints.get(field);
    if (checkpoint === undefined) return;
    // As a flusher does: only what waits there can be done.
    for (const place of PLACES) {
      const waiting = await this.#waiting(place).catch((): string[] => []);
      if (!waiting.includes(field)) continue;
      const done = fixture.store.checkpointsDone(this.#partitionOf(place), [field]);
      await done.then(
        () => {
          checkpoint.isDone = true;
        },
        () => {},
      );
    }
  }

  #recover(work: () => Promise<void>): void {
    const afterMs = 50 + this.#random() * 400;
    this.#recovering.push(new Promise<void>((resolve) => setTimeout(resolve, afterMs)).then(work));
  }

  // ---- what has to hold

  /** Each driver's newest is what followers of all partitions find. */
  async #isWhole(): Promise<boolean> {
    const found = new Map<string, Position>();
    for (const place of PLACES) {
      for (const [driverId, position] of await newestOf(fixture.store, this.#partitionOf(place))) {
        const known = found.get(driverId);
        if (known === undefined || isNewer(position, known)) found.set(driverId, position);
      }
    }
    return this.#drivers.every(({ connection, newest }) => {
      if (newest === null) return true;
      const { session, recordedAtMs, latE7, lonE7 } = found.get(connection.driverId) ?? {};
      return (
        session === newest.session &&
        recordedAtMs === newest.recordedAtMs &&
        latE7 === newest.latE7 &&
        lonE7 === newest.lonE7
      );
    });
  }

  /** Each is persisted or waits, and its driver was told so. */
  async #judgeCheckpoints(): Promise<void> {
    await waitFor('every checkpoint waits or is persisted', DEADLINE_MS, async () => {
      const waiting = new Set((await Promise.all(PLACES.map((place) => this.#waiting(place)))).flat());
      for (const [field, { connection, seq, isDone }] of this.#checkpoints) {
        const persisted = connection.lines.filter((line) => line === `persisted ${seq}`).length;
        assert.ok(persisted <= (isDone ? 1 : 0), `${field} is told as persisted`);
        if (!connection.lines.includes(`kept ${seq}`)) return undefined;
        if (persisted === 0 && !waiting.has(field)) return undefined;
      }
      return true;
    });
  }

  async #waiting(place: Place): Promise<string[]> {
    const o = { cursor: null, place: null, pageSize: 1_000 };
    const page = await fixture.store.waitingCheckpoints(this.#partitionOf(place), o);
    return page.waiting.map(({ field }) => field);
  }

  async #metric(name: string): Promise<number> {
    const text = await this.#metrics.registry.metrics();
    return Number(new RegExp(`^whereabouts_ingest_${name} (\\S+)$`, 'm').exec(text)?.[1]);
  }

  #later({ newest, connection }: Model): { recordedAtMs: number } {
    const afterMs = newest?.session === connection.session ? newest.recordedAtMs : 0;
    return { recordedAtMs: Math.max(Date.now(), afterMs + 1) };
  }

  #partitionOf({ lat, lon }: Place): number {
    return fixture.map.partitionOf(lat, lon);
  }

  #any<T>(of: readonly T[]): T {
    return of[Math.floor(this.#random() * of.length)] as T;
  }
}

const acceptedOf = ({ lines }: Told) => lines.filter((line) => line.startsWith('accepted'));

const given = process.env.WHEREABOUTS_SEED;
for (const seed of given === undefined ? Array.from({ length: SEEDS }, (_, i) => i) : [Number(given)]) {
  test(`seed ${seed}`, async () => {
    const run = new Run(seed);
    for (let i = 0; i < STEPS; i++) await run.step();
    await run.judge();
  });
}

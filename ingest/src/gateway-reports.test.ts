import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import { accept, EdgeUnderTest, holdBack, until } from './testing/edge-under-test.js';
import { TestDriver } from './testing/test-driver.js';

let under: EdgeUnderTest;
let drivers: TestDriver[] = [];
let nextDriver = 0;

before(async () => {
  under = await EdgeUnderTest.start();
});
after(() => under.stop());
beforeEach(() => {
  for (const driver of drivers) driver.ws.terminate();
  drivers = [];
  under.recorder.answer = accept;
  under.recorder.waiting = 0;
});

for (const binary of [false, true]) {
  const spoken = binary ? 'binary' : 'JSON';

  async function connect(query = ''): Promise<{ driver: TestDriver; id: string }> {
    const id = `driver-${nextDriver++}`;
    const driver = await TestDriver.connect(under.url, id, { binary, query });
    drivers.push(driver);
    return { driver, id };
  }

  describe(spoken, () => {
    test('hello names the session, the time and the limits', async () => {
      const beforeMs = under.nowMs();
      const { driver } = await connect();
      const hello = await driver.next('hello');
      const afterMs = under.nowMs();
      assert.ok(hello.server_time_ms >= beforeMs && hello.server_time_ms <= afterMs);
      // Sessions of one moment differ by 1.
      assert.ok(hello.session >= beforeMs && hello.session <= afterMs + 1_000);
      assert.equal(hello.durability, 'cache');
      assert.deepEqual(hello.limits, {
        report_interval_ms: 2000,
        max_reports_per_s: 5,
        burst: 10,
        max_message_bytes: 4096,
        max_positions: 100,
        freshness_ms: 10_000,
        max_clock_ahead_ms: 5000,
        max_waiting_checkpoints: 10,
        checkpoints_per_min: 10,
        checkpoint_burst: 20,
      });
    });

    test('a report reaches the recorder under the session and is acknowledged', async () => {
      const { driver, id } = await connect();
      const { session } = await driver.next('hello');
      const now = Math.floor(under.nowMs());
      driver.report(41, now, {
        heading_deg: 90,
        speed_mps: 12.5,
        accuracy_m: 5,
        status: 'busy',
        services: 3,
      });
      assert.deepEqual(await driver.next('ack'), { type: 'ack', seq: 41 });
      assert.deepEqual(under.recorder.of(id), [
        {
          driverId: id,
          session,
          seq: 41,
          recordedAtMs: now,
          latE7: 525_000_000,
          lonE7: 134_000_000,
          headingCdeg: 9000,
          speedCmps: 1250,
          accuracyDm: 50,
          status: 'busy',
          services: 3,
          checkpoint: false,
          checkpointId: null,
        },
      ]);
    });

    test('nothing is acknowledged before the recorder has answered', async () => {
      under.recorder.answer = holdBack;
      const { driver, id } = await connect();
      driver.report(1, under.nowMs());
      await driver.settled();
      assert.equal(under.recorder.of(id).length, 1);
      assert.equal(driver.of('ack').length, 0);
    });

    test('bad_position', async () => {
      const { driver, id } = await connect();
      driver.report(1, under.nowMs(), { lat: 86 });
      await driver.nack('bad_position', 1);
      driver.report(1, under.nowMs());
      assert.equal((await driver.next('ack')).seq, 1);
      assert.equal(under.recorder.of(id).length, 1);
    });

    test('clock_ahead', async () => {
      const { driver } = await connect();
      driver.report(1, under.nowMs() + 7000);
      const nack = await driver.nack('clock_ahead', 1);
      assert.equal(nack.retryable, false);
      driver.report(2, under.nowMs() + 4000);
      assert.equal((await driver.next('ack')).seq, 2);
    });

    test('too_old, but a checkpoint of up to a day is not', async () => {
      const { driver, id } = await connect();
      driver.report(1, under.nowMs() - 11_000);
      await driver.nack('too_old', 1);
      driver.report(2, under.nowMs() - 3_600_000, { checkpoint: true, checkpoint_id: 'trip-1' });
      assert.equal((await driver.next('ack')).seq, 2);
      driver.report(3, under.nowMs() - 25 * 3_600_000, { checkpoint: true });
      await driver.nack('too_old', 3);
      assert.deepEqual(
        under.recorder.of(id).map((p) => [p.seq, p.checkpoint, p.checkpointId]),
        [[2, true, 'trip-1']],
      );
    });

    test('stale: the same or an older time with a new seq', async () => {
      const { driver } = await connect();
      const now = under.nowMs();
      driver.report(1, now);
      driver.report(2, now);
      driver.report(3, now - 1000);
      await driver.nack('stale', 2);
      await driver.nack('stale', 3);
      driver.report(4, now + 1);
      await until('the last one is acknowledged', () => driver.of('ack').at(-1)?.seq === 4);
    });

    test('the same seq and time again is acknowledged and not stored twice', async () => {
      const { driver, id } = await connect();
      const now = under.nowMs();
      driver.report(1, now);
      await driver.next('ack');
      driver.report(1, now);
      assert.equal((await driver.next('ack', 2)).seq, 1);
      assert.equal(under.recorder.of(id).length, 1);
    });

    test('a refused report may be sent again under its seq', async () => {
      const { driver, id } = await connect();
      under.recorder.answer = (report) =>
        report.refused('region_unavailable', 700, 'no answer from the region');
      const now = under.nowMs();
      driver.report(1, now);
      const nack = await driver.nack('region_unavailable', 1);
      assert.equal(nack.retryable, true);
      assert.equal(nack.retry_after_ms, 700);
      // The recorder holds it: to record it again would be no news.
      driver.report(1, now);
      await until('it is nacked again', () => driver.of('nack').length === 2);
      assert.equal(under.recorder.of(id).length, 1);
      under.recorder.reportsOf(id)[0]?.accepted();
      assert.equal((await driver.next('ack')).seq, 1);
      driver.report(1, now);
      assert.equal((await driver.next('ack', 2)).seq, 1);
      assert.equal(under.recorder.of(id).length, 1);
    });

    test('a seq that does not grow but has a later time', async () => {
      const { driver } = await connect();
      const now = under.nowMs();
      driver.report(5, now);
      driver.report(5, now + 1);
      driver.report(4, now + 1);
      assert.match((await driver.nack('bad_message', 5)).detail, /seq must grow/);
      await driver.nack('bad_message', 4);
    });

    test('overloaded and not_ready come from the recorder as they are', async () => {
      const { driver } = await connect();
      for (const [i, code] of (['overloaded', 'not_ready'] as const).entries()) {
        under.recorder.answer = (report) => report.refused(code, 250, 'why');
        driver.report(i + 1, under.nowMs() + i);
        const nack = await driver.nack(code, i + 1);
        assert.deepEqual([nack.retryable, nack.retry_after_ms, nack.detail], [true, 250, 'why']);
      }
    });

    test('of several positions the newest is recorded, and every checkpoint', async () => {
      const { driver, id } = await connect();
      const now = Math.floor(under.nowMs());
      const at = (seq: number, recorded_at_ms: number, more = {}) => ({
        seq,
        recorded_at_ms,
        lat: 1,
        lon: 2,
        ...more,
      });
      driver.send({
        type: 'positions',
        positions: [
          at(1, now - 60_000),
          at(2, now - 40_000, { checkpoint: true, checkpoint_id: 'trip-2' }),
          at(3, now - 20_000),
          at(5, now - 500),
          at(4, now - 1000),
        ],
      });
      await until('all is acknowledged', () => driver.of('ack').at(-1)?.seq === 5);
      assert.deepEqual(
        under.recorder.of(id).map((p) => p.seq),
        [2, 5],
      );
      assert.deepEqual(driver.of('nack'), []);
    });

    test('where the newest of several is refused, so are those that it replaced', async () => {
      const { driver } = await connect();
      under.recorder.answer = (report) => report.refused('overloaded', 100, 'why');
      const now = Math.floor(under.nowMs());
      const positions = [1, 2, 3].map((seq) => ({ seq, recorded_at_ms: now + seq, lat: 1, lon: 2 }));
      driver.send({ type: 'positions', positions });
      await driver.nack('overloaded', 3);

      const old = [4, 5].map((seq) => ({ seq, recorded_at_ms: now - 30_000 + seq, lat: 1, lon: 2 }));
      driver.send({ type: 'positions', positions: old });
      assert.match((await driver.nack('stale', 5)).detail, /and 1 more of this message/);
      assert.equal(driver.of('nack').length, 2);
    });

    test('several positions that are all too old', async () => {
      const { driver } = await connect();
      const now = Math.floor(under.nowMs());
      const positions = [1, 2].map((seq) => ({ seq, recorded_at_ms: now - 30_000 + seq, lat: 1, lon: 2 }));
      driver.send({ type: 'positions', positions });
      await driver.nack('too_old', 2);
    });

    test('a hundred that are refused for the same reason are one nack, each checkpoint has its own', async () => {
      const { driver, id } = await connect();
      const now = Math.floor(under.nowMs());
      const bad = Array.from({ length: 10 }, (_, i) => ({
        seq: i + 1,
        recorded_at_ms: i === 3 ? now + 60_000 : now,
        lat: 89,
        lon: 2,
        ...(i === 5 || i === 6 ? { checkpoint: true } : {}),
      }));
      driver.send({ type: 'positions', positions: bad });
      await driver.nack('bad_position', 10);
      assert.deepEqual(
        driver
          .of('nack')
          .map(({ seq }) => seq)
          .sort(),
        [10, 6, 7],
      );
      assert.equal(under.recorder.of(id).length, 0);
    });

    test('an acknowledgement that is due goes out before a nack that can be retried', async () => {
      const { driver, id } = await connect('?ack=sparse');
      driver.report(1, under.nowMs());
      await driver.next('ack');
      driver.report(2, under.nowMs() + 1);
      await until('it has come', () => under.recorder.of(id).length === 2);
      await driver.settled();
      under.recorder.answer = (report) => report.refused('region_unavailable', 1000, 'away');
      driver.report(3, under.nowMs() + 2);
      await driver.nack('region_unavailable', 3);
      assert.deepEqual(
        driver.messages.slice(-2).map((message) => [message.type, 'seq' in message && message.seq]),
        [
          ['ack', 2],
          ['nack', 3],
        ],
      );
    });

    test('a checkpoint without an id gets one that no other connection gives', async () => {
      const { driver, id } = await connect();
      const { connectionId } = under.connectionOf(id);
      driver.report(7, under.nowMs(), { checkpoint: true });
      await driver.next('ack');
      assert.equal(under.recorder.of(id)[0]?.checkpointId, `${connectionId}-7`);
    });

    test('coming back with ten checkpoints that wait and the newest report is within the limits', async () => {
      const { driver, id } = await connect();
      under.recorder.answer = holdBack;
      const now = under.nowMs();
      const send = (to: TestDriver) => {
        for (let seq = 1; seq <= 10; seq++) {
          to.report(seq, now + seq, { checkpoint: true, checkpoint_id: `trip-${seq}` });
        }
        to.report(11, now + 11);
      };
      send(driver);
      await until('all have come', () => under.recorder.of(id).length === 11);
      const again = await TestDriver.connect(under.url, id, { binary });
      drivers.push(again);
      send(again);
      await until('all have come again', () => under.recorder.of(id).length === 22);
      assert.deepEqual([...driver.of('nack'), ...again.of('nack')], []);
      again.report(12, now + 12, { checkpoint: true, checkpoint_id: 'trip-12' });
      await again.nack('too_fast', 12);
    });

    test('one bad position among several is refused alone', async () => {
      const { driver, id } = await connect();
      const now = Math.floor(under.nowMs());
      const positions = [52, 89, 53].map((lat, i) => ({ seq: i + 1, recorded_at_ms: now + i, lat, lon: 2 }));
      driver.send({ type: 'positions', positions });
      await driver.nack('bad_position', 2);
      await until('the last is acknowledged', () => driver.of('ack').at(-1)?.seq === 3);
      assert.deepEqual(
        under.recorder.of(id).map((p) => p.seq),
        [3],
      );
    });

    test('too_many_checkpoints: ten wait in the store', async () => {
      const { driver } = await connect();
      under.recorder.waiting = 10;
      driver.report(1, under.nowMs(), { checkpoint: true });
      await driver.nack('too_many_checkpoints', 1);
      driver.report(2, under.nowMs() + 1);
      assert.equal((await driver.next('ack')).seq, 2);
    });

    test('too_many_checkpoints: ten are not answered', async () => {
      under.recorder.answer = holdBack;
      const { driver, id } = await connect();
      const now = Math.floor(under.nowMs());
      const positions = Array.from({ length: 11 }, (_, i) => ({
        seq: i + 1,
        recorded_at_ms: now - i,
        lat: 1,
        lon: 2,
        checkpoint: true,
      }));
      driver.send({ type: 'positions', positions });
      await driver.nack('too_many_checkpoints', 11);
      assert.equal(under.recorder.of(id).length, 10);
    });

    test('an acknowledgement does not pass a checkpoint that is not answered', async () => {
      const { driver, id } = await connect();
      under.recorder.answer = (report) => {
        if (!report.position.checkpoint) report.accepted();
      };
      const now = under.nowMs();
      driver.report(1, now);
      driver.report(2, now + 1, { checkpoint: true });
      driver.report(3, now + 2);
      await until('all have come', () => under.recorder.of(id).length === 3);
      await driver.settled();
      assert.equal(driver.of('ack').at(-1)?.seq, 1);
      under.recorder.reportsOf(id)[1]?.accepted();
      await until('now it does', () => driver.of('ack').at(-1)?.seq === 3);
    });

    test('persisted follows the acknowledgement of its checkpoint, in whatever turn', async () => {
      under.recorder.answer = (report) => {
        report.accepted();
        report.persisted();
      };
      const { driver } = await connect('?ack=sparse');
      driver.report(9, under.nowMs(), { checkpoint: true });
      assert.equal((await driver.next('persisted')).seq, 9);
      assert.deepEqual(
        driver.messages.map(({ type }) => type),
        ['hello', 'ack', 'persisted'],
      );
    });

    test('sparse: the first report, then one acknowledgement in ten seconds, without a report for it', async () => {
      const { driver, id } = await connect('?ack=sparse');
      for (let seq = 1; seq <= 5; seq++) driver.report(seq, under.nowMs() + seq);
      await until('all have come', () => under.recorder.of(id).length === 5);
      await driver.settled();
      assert.equal(driver.of('ack').length, 1);
      assert.equal(driver.of('ack')[0]?.seq, 1);
      under.pass(10_000);
      assert.equal((await driver.next('ack', 2)).seq, 5);
      assert.equal(driver.closeCode, null);
    });

    test('sparse: at once for a checkpoint and after a nack', async () => {
      const { driver } = await connect('?ack=sparse');
      const now = under.nowMs();
      driver.report(1, now);
      await driver.next('ack');
      driver.report(2, now + 1, { checkpoint: true });
      assert.equal((await driver.next('ack', 2)).seq, 2);
      driver.report(3, now - 5, {});
      await driver.nack('stale', 3);
      driver.report(4, now + 4);
      assert.equal((await driver.next('ack', 3)).seq, 4);
    });

    test('several answers in one turn make one acknowledgement', async () => {
      under.recorder.answer = holdBack;
      const { driver, id } = await connect();
      for (let seq = 1; seq <= 4; seq++) driver.report(seq, under.nowMs() + seq);
      await until('all have come', () => under.recorder.of(id).length === 4);
      for (const report of under.recorder.reportsOf(id)) report.accepted();
      assert.equal((await driver.next('ack')).seq, 4);
      await driver.settled();
      assert.equal(driver.of('ack').length, 1);
    });
  });
}

describe('replicated', () => {
  for (const binary of [false, true]) {
    test(`what only the cache has is acknowledged as such, ${binary ? 'binary' : 'JSON'}`, async () => {
      const replicated = await EdgeUnderTest.start({ durability: 'replicated' });
      const driver = await TestDriver.connect(replicated.url, 'd', { binary });
      assert.equal((await driver.next('hello')).durability, 'replicated');
      driver.report(1, replicated.nowMs());
      assert.deepEqual(await driver.next('ack'), { type: 'ack', seq: 1, durability: 'cache' });
      replicated.recorder.answer = (report) => report.accepted('replicated');
      driver.report(2, replicated.nowMs() + 1);
      assert.deepEqual(await driver.next('ack', 2), { type: 'ack', seq: 2 });
      driver.ws.terminate();
      replicated.stop();
    });
  }
});

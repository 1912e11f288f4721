import assert from 'node:assert/strict';
import { beforeEach, describe, it } from 'node:test';
import { Outbox } from './outbox.js';
import type { HelloMessage } from './protocol.js';
import { LIMITS } from './test-peer.js';

const HERE = { lat: 52.52, lon: 13.405 };
const SERVER_TIME_MS = 1_700_000_000_000;
const HELLO: HelloMessage = {
  type: 'hello',
  session: SERVER_TIME_MS,
  server_time_ms: SERVER_TIME_MS,
  limits: { ...LIMITS, report_interval_ms: 2000, max_reports_per_s: 5, burst: 10 },
  durability: 'cache',
};

describe('Outbox', () => {
  let outbox: Outbox;
  beforeEach(() => {
    outbox = new Outbox();
  });

  it('gives what was taken before the first hello its time, and not the time of sending', () => {
    outbox.report(HERE, 400);
    outbox.hello(HELLO, 1000);
    assert.equal(outbox.next(1500)?.recorded_at_ms, SERVER_TIME_MS - 600);
  });

  it('sends checkpoints in their order, then the newest report', () => {
    void outbox.checkpoint(HERE, 'a', 10);
    void outbox.checkpoint(HERE, 'b', 10);
    outbox.report(HERE, 20);
    outbox.hello(HELLO, 100);
    const sent = [outbox.next(100), outbox.next(100), outbox.next(100), outbox.next(100)];
    assert.deepEqual(
      sent.map((message) => message?.checkpoint_id),
      ['a', 'b', undefined, undefined],
    );
    assert.deepEqual(
      sent.map((message) => message?.seq),
      [1, 2, 3, undefined],
    );
    const times = sent.slice(0, 3).map((message) => (message?.recorded_at_ms ?? 0) - SERVER_TIME_MS);
    assert.deepEqual(times, [-90, -89, -80]);
  });

  it('lets a checkpoint take the place of a report that was taken before it', () => {
    outbox.report(HERE, 10);
    void outbox.checkpoint(HERE, 'a', 20);
    outbox.hello(HELLO, 100);
    assert.equal(outbox.next(100)?.checkpoint_id, 'a');
    assert.equal(outbox.next(100), null);
    assert.equal(outbox.stats.dropped, 1);
  });

  it('does not send what the server would find too old', () => {
    outbox.report(HERE, 0);
    outbox.hello(HELLO, LIMITS.freshness_ms + 1);
    assert.equal(outbox.next(LIMITS.freshness_ms + 1), null);
    assert.equal(outbox.dueAtMs, Infinity);
    void outbox.checkpoint(HERE, 'a', 0);
    assert.equal(outbox.next(LIMITS.freshness_ms + 1)?.checkpoint_id, 'a');
  });

  it('keeps to the interval on average, and not to the millisecond', () => {
    outbox.hello(HELLO, 0);
    const sentAtMs: number[] = [];
    for (let nowMs = 0; nowMs <= 100_000; nowMs += 1990) {
      outbox.report(HERE, nowMs);
      if (outbox.next(nowMs)) sentAtMs.push(nowMs);
    }
    assert.ok(sentAtMs.length >= 49, `${sentAtMs.length} of 51 went out`);
    assert.ok(sentAtMs.every((atMs, n) => atMs >= n * 2000 - 200));
  });

  it('tells when it has something to say', () => {
    assert.equal(outbox.dueAtMs, Infinity);
    outbox.hello(HELLO, 0);
    outbox.report(HERE, 0);
    assert.ok(outbox.dueAtMs <= 0);
    assert.ok(outbox.next(0));
    assert.equal(outbox.dueAtMs, Infinity);
    outbox.report(HERE, 1);
    assert.equal(outbox.dueAtMs, 1800);
    assert.equal(outbox.next(1799), null);
    assert.ok(outbox.next(1800));
  });

  it('takes a connection for dead when a due acknowledgement does not come', () => {
    outbox.hello(HELLO, 0);
    assert.equal(outbox.answerDueAtMs, Infinity);
    for (let nowMs = 0; nowMs <= 8000; nowMs += 2000) {
      outbox.report(HERE, nowMs);
      outbox.next(nowMs);
    }
    assert.equal(outbox.answerDueAtMs, 20_000);
    outbox.heard();
    outbox.ack(1, 9000);
    assert.equal(outbox.answerDueAtMs, Infinity);
    outbox.report(HERE, 12_000); // thinned: it may stay unanswered for good
    assert.ok(outbox.next(12_000));
    assert.equal(outbox.answerDueAtMs, Infinity);
    outbox.report(HERE, 19_000);
    assert.ok(outbox.next(19_000));
    assert.equal(outbox.answerDueAtMs, 39_000);
    outbox.lost();
    assert.equal(outbox.answerDueAtMs, Infinity);
  });

  it('starts its times anew where the clock of the server was set back', () => {
    outbox.hello(HELLO, 0);
    outbox.report(HERE, 0);
    outbox.next(0);
    outbox.lost();
    outbox.report(HERE, 100);
    outbox.hello({ ...HELLO, server_time_ms: SERVER_TIME_MS - 3_600_000 }, 100);
    assert.equal(outbox.next(100)?.recorded_at_ms, SERVER_TIME_MS - 3_600_000);
  });
});

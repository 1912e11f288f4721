import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { createLogger } from '../service/log.js';
import { DarkRegions } from './dark-regions.js';
import { type DirtySince, LossWindow, lossWindowMs } from './loss-window.js';

const BUDGET_MS = 10_000;
/** Of the node, some minutes ahead of ours. */
const NODE_MS = 1_700_000_000_000;

const state = (dirtyForMs: number | null): DirtySince => ({
  nowMs: NODE_MS,
  dirtySinceMs: dirtyForMs === null ? null : NODE_MS - dirtyForMs,
});

/** Two partitions. `look` after so many ms: how long each is dirty, null where it is clean, 'dark' where it is dark. */
function newWindow() {
  const clock = { nowMs: 5_000 };
  const lines: Record<string, unknown>[] = [];
  const log = createLogger('test', 'info', { write: (line) => void lines.push(JSON.parse(line)) });
  const nodeOf = (partition: number) => `node-${partition}`;
  const nowMs = () => clock.nowMs;
  const regions = new DarkRegions({ partitions: 2, nodeOf, nowMs });
  const window = new LossWindow({ budgetMs: BUDGET_MS, partitions: 2, regions, log, nowMs });
  const look = (afterMs: number, ...dirty: (number | null | 'dark')[]) => {
    clock.nowMs += afterMs;
    regions.update((partition) => dirty[partition] === 'dark');
    window.update((partition) => {
      const forMs = dirty[partition] as number | null | 'dark';
      return forMs === 'dark' ? null : { state: state(forMs), atMs: clock.nowMs };
    });
    return { isExceeded: window.isExceeded, knownMs: window.worstMs, unknownMs: window.unknownMs };
  };
  const said = () => lines.map(({ level, msg }) => `${level}: ${msg}`);
  return { clock, window, lines, look, said };
}

test('a clock that steps back makes no negative window', () => {
  assert.equal(lossWindowMs(state(-5_000)), 0);
  assert.equal(lossWindowMs(state(null)), 0);
});

describe('partitions that answer', () => {
  test('the oldest counts, and above the budget is an alarm', () => {
    const { window, look, said } = newWindow();
    assert.deepEqual(look(0, null, 4_000), { isExceeded: false, knownMs: 4_000, unknownMs: 0 });
    assert.equal(window.detail, '4000 ms of 10000 ms');
    assert.equal(look(0, 10_001, 4_000).isExceeded, true);
    assert.equal(look(0, 20_000, 4_000).isExceeded, true);
    assert.equal(look(0, 10_000, null).isExceeded, false);
    assert.deepEqual(said(), [
      'error: the loss window is above its budget',
      'info: the loss window is within its budget again',
    ]);
  });

  test('an answer of some time ago grows older, where something was dirty', () => {
    const { clock, window } = newWindow();
    const atMs = clock.nowMs;
    clock.nowMs += 3_000;
    const dirty = [2_000, null];
    window.update((partition) => ({ state: state(dirty[partition] as number | null), atMs }));
    assert.equal(window.worstMs, 5_000);
  });
});

describe('dark partitions', () => {
  test('unknown is not zero: it grows from what was known last, and beyond the budget is an alarm', () => {
    const { window, look, lines, said } = newWindow();
    look(0, 3_000, null);
    assert.deepEqual(look(6_000, 'dark', null), { isExceeded: false, knownMs: 0, unknownMs: 9_000 });
    assert.equal(window.detail, '0 ms of 10000 ms; unknown for 1 partitions, at most 9000 ms');
    assert.equal(look(1_001, 'dark', null).isExceeded, true);
    assert.match(
      window.detail,
      /; unknown beyond the budget for 1 partitions, perhaps 10001 ms: node-0 \(1\)$/,
    );
    assert.deepEqual([lines[0]?.nodes, lines[0]?.partitions], [['node-0 (1)'], 1]);
    assert.equal(window.unknownPartitions, 1);
    assert.deepEqual(look(0, 2_000, null), { isExceeded: false, knownMs: 2_000, unknownMs: 0 });
    assert.deepEqual(said(), [
      'error: the loss window of dark partitions is unknown beyond the budget',
      'info: no loss window is unknown beyond the budget any more',
    ]);
  });

  test('where nothing was dirty it counts from the last answer', () => {
    const { look } = newWindow();
    look(0, null, null);
    assert.equal(look(10_000, 'dark', null).isExceeded, false);
    assert.equal(look(1, 'dark', null).isExceeded, true);
  });

  test('where there never was an answer it counts from the start', () => {
    const { look } = newWindow();
    assert.equal(look(10_000, 'dark', null).isExceeded, false);
    assert.equal(look(1, 'dark', null).isExceeded, true);
  });

  test('that come and go do not begin anew where they were not flushed', () => {
    const { look } = newWindow();
    look(0, 3_000, null);
    look(4_000, 'dark', null);
    look(1_000, 8_000, null);
    assert.deepEqual(look(2_001, 'dark', null), { isExceeded: true, knownMs: 0, unknownMs: 10_001 });
  });

  test('both alarms are told, and the one ends only with the other', () => {
    const { look, said } = newWindow();
    look(0, null, null);
    assert.equal(look(11_000, 'dark', 11_000).isExceeded, true);
    assert.equal(look(0, 'dark', null).isExceeded, true);
    assert.equal(look(0, null, null).isExceeded, false);
    assert.equal(said().length, 4);
  });
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type CpuProfile, selfTimes } from './profile.js';

const frame = (functionName: string, url = '') => ({ functionName, url, lineNumber: 9 });
const profile: CpuProfile = {
  nodes: [
    { id: 1, callFrame: frame('(idle)') },
    { id: 2, callFrame: frame('submit', 'file:///x/ingest/dist/recorder.js') },
    { id: 3, callFrame: frame('write', '/x/node_modules/ioredis/built/Command.js') },
    { id: 4, callFrame: frame('(garbage collector)') },
  ],
  samples: [2, 1, 2, 3, 4, 2],
  timeDeltas: [100, 100, 100, 50, 10, 100],
  startTime: 0,
  endTime: 500,
};

test('self time by function and by part, of the window asked for, without idle', () => {
  // Sampled at 300, 350 and 360: 200 to 140 us before the end.
  const { busyUs, byFunction, byPart } = selfTimes(profile, 200, 140);
  assert.equal(busyUs, 160);
  assert.deepEqual(byFunction, [
    ['submit dist/recorder.js:10', 100],
    ['write built/Command.js:10', 50],
    ['(garbage collector)', 10],
  ]);
  assert.deepEqual(byPart, [
    ['ingest', 100],
    ['ioredis', 50],
    ['(garbage collector)', 10],
  ]);
});

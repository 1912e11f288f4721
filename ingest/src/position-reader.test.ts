import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decodeClientMessage, encodeClientMessage } from '@whereabouts/client/frame';
import type { PositionReport } from '@whereabouts/client/protocol';
import type { Position } from '@whereabouts/infra/position';
import fc from 'fast-check';
import { readPosition } from './position-reader.js';
import { checkReport, isFault } from './report-checks.js';

/** As every other message is read. */
function readInGeneral(frame: ArrayBuffer): Position | null {
  try {
    const message = decodeClientMessage(frame);
    if (message.type !== 'position') return null;
    const checked = checkReport(message, 'd', 7);
    return isFault(checked) ? null : checked;
  } catch {
    return null;
  }
}
const usual: PositionReport = { seq: 3, recorded_at_ms: 1_800_000_000_000, lat: 52.2297, lon: 21.0122 };
const frameOf = (p: PositionReport) => encodeClientMessage({ type: 'position', ...p }).buffer;

test('a usual position is read in place', () => {
  const full = {
    ...usual,
    heading_deg: 359.99,
    speed_mps: 12.5,
    accuracy_m: 4,
    services: 9,
    status: 'busy' as const,
  };
  for (const report of [usual, full]) {
    const position = readPosition(frameOf(report), 'd', 7);
    assert.ok(position);
    assert.deepEqual(position, readInGeneral(frameOf(report)));
  }
});

test('checkpoints, lists and other messages are left to the general decoder', () => {
  assert.equal(readPosition(frameOf({ ...usual, checkpoint: true }), 'd', 7), null);
  assert.equal(readPosition(encodeClientMessage({ type: 'bye' }).buffer, 'd', 7), null);
  const two = encodeClientMessage({ type: 'positions', positions: [usual, { ...usual, seq: 4 }] });
  assert.equal(readPosition(two.buffer, 'd', 7), null);
});

test('whatever bytes come, it says what the general way says, or nothing', () => {
  const usualBytes = new Uint8Array(frameOf(usual));
  const change = fc.record({
    at: fc.nat({ max: 27 }),
    byte: fc.constantFrom(0, 1, 2, 16, 127, 128, 140, 255),
  });
  const frames = fc.array(change, { maxLength: 8 }).map((changes) => {
    const bytes = Uint8Array.from(usualBytes);
    for (const { at, byte } of changes) bytes[at] = byte;
    return bytes.buffer;
  });
  let read = 0;
  fc.assert(
    fc.property(frames, (frame) => {
      const position = readPosition(frame, 'd', 7);
      if (position === null) return;
      read++;
      assert.deepEqual(position, readInGeneral(frame));
    }),
    { numRuns: 5000, seed: 1 },
  );
  assert.ok(read > 500, `${read} of 5,000 were read in place`);
});

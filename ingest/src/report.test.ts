import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decodeClientMessage, encodeClientMessage } from '@whereabouts/client/frame';
import type { PositionReport } from '@whereabouts/client/protocol';
import type { Position } from '@whereabouts/infra/position';
import { AT, decodeBody } from '@whereabouts/infra/record';
import fc from 'fast-check';
import { checkReport, isFault, Report } from './report.js';

/** Read in place, and laid out as a record of session 7. */
function readInPlace(frame: ArrayBuffer): Position | null {
  const report = new Report();
  if (!report.readFrame(frame)) return null;
  return positionOf(report);
}

function positionOf(report: Report): Position {
  report.body[AT.session] = 7;
  const { archived: _, ...position } = decodeBody('d', report.body);
  assert.equal(report.seq, position.seq);
  assert.equal(report.recordedAtMs, position.recordedAtMs);
  assert.deepEqual([report.latE7, report.lonE7], [position.latE7, position.lonE7]);
  return position;
}

/** As every other message is read. */
function readInGeneral(frame: ArrayBuffer): Position | null {
  try {
    const message = decodeClientMessage(frame);
    if (message.type !== 'position') return null;
    const checked = checkReport(message, 'd', 7);
    if (isFault(checked)) return null;
    const report = new Report();
    report.readPosition(checked);
    assert.deepEqual(positionOf(report), { ...checked, checkpoint: false, checkpointId: null });
    return checked;
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
    const position = readInPlace(frameOf(report));
    assert.ok(position);
    assert.deepEqual(position, readInGeneral(frameOf(report)));
  }
});

test('checkpoints, lists and other messages are left to the general decoder', () => {
  assert.equal(readInPlace(frameOf({ ...usual, checkpoint: true })), null);
  assert.equal(readInPlace(encodeClientMessage({ type: 'bye' }).buffer), null);
  const two = encodeClientMessage({ type: 'positions', positions: [usual, { ...usual, seq: 4 }] });
  assert.equal(readInPlace(two.buffer), null);
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
      const position = readInPlace(frame);
      if (position === null) return;
      read++;
      assert.deepEqual(position, readInGeneral(frame));
    }),
    { numRuns: 5000, seed: 1 },
  );
  assert.ok(read > 500, `${read} of 5,000 were read in place`);
});

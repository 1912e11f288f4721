import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { GEO_SCORE_DIGITS } from './geo-score.js';
import { NONE_U16, type Position, PositionError, STATUSES } from './position.js';
import { Arena, BODY_BYTES, decodeRecord, encodeBody, RECORD_BYTES } from './position-record.js';

const id = fc.stringMatching(/^[A-Za-z0-9_-]{1,64}$/);
const u16 = fc.integer({ min: 0, max: 65_535 });
const u48 = fc.integer({ min: 1, max: 2 ** 48 - 1 });

const position: fc.Arbitrary<Position> = fc.record({
  driverId: id,
  session: u48,
  seq: fc.integer({ min: 1, max: 2 ** 32 - 1 }),
  recordedAtMs: u48,
  latE7: fc.integer({ min: -850_511_287, max: 850_511_287 }),
  lonE7: fc.integer({ min: -1_800_000_000, max: 1_799_999_999 }),
  headingCdeg: fc.oneof(fc.integer({ min: 0, max: 35_999 }), fc.constant(NONE_U16)),
  speedCmps: u16,
  accuracyDm: u16,
  status: fc.constantFrom(...STATUSES),
  services: u16,
  checkpoint: fc.boolean(),
  checkpointId: fc.constant(null),
});

// What Redis does with a body: appends the revision, and may set flags.
function store(body: Buffer, revision: number, flags = 0): Buffer {
  const record = Buffer.alloc(RECORD_BYTES);
  body.copy(record);
  record.writeUInt8(record.readUInt8(28) | flags, 28);
  record.writeBigUInt64LE(BigInt(revision), BODY_BYTES);
  return record;
}

function pack(p: Position): Buffer {
  const body = Buffer.alloc(BODY_BYTES);
  encodeBody(p, body, 0);
  return body;
}

// Reads an arena as the Redis function does.
function readArena(bytes: Buffer): { id: string; checkpointId: string; body: Buffer }[] {
  const records = [];
  for (let at = 0; at < bytes.length; ) {
    const idEnd = at + 1 + bytes.readUInt8(at);
    const checkpointEnd = idEnd + 1 + bytes.readUInt8(idEnd);
    records.push({
      id: bytes.toString('latin1', at + 1, idEnd),
      checkpointId: bytes.toString('latin1', idEnd + 1, checkpointEnd),
      body: Buffer.from(bytes.subarray(checkpointEnd, checkpointEnd + BODY_BYTES)),
    });
    at = checkpointEnd + BODY_BYTES + GEO_SCORE_DIGITS;
  }
  return records;
}

const sample: Position = {
  driverId: 'd',
  session: 0x0102_0304_0506,
  seq: 0x0a0b0c0d,
  recordedAtMs: 0x1112_1314_1516,
  latE7: -1,
  lonE7: 2,
  headingCdeg: 0x2122,
  speedCmps: 0x3132,
  accuracyDm: 0x4142,
  status: 'busy',
  services: 0x5152,
  checkpoint: true,
  checkpointId: null,
};

test('the body is laid out byte by byte as the head of the file says', () => {
  const expected = '01 060504030201 161514131211 ffffffff 02000000 2221 3231 4241 02 08 5251 0d0c0b0a';
  assert.equal(pack(sample).toString('hex'), expected.replaceAll(' ', ''));
});

test('what is encoded is decoded, with the largest revision too', () => {
  fc.assert(
    fc.property(position, fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER }), (p, revision) => {
      const stored = decodeRecord(p.driverId, store(pack(p), revision));
      assert.deepEqual(stored, {
        ...p,
        revision,
        quarantined: false,
        unlisted: false,
        movedTo: null,
        archived: false,
      });
    }),
  );
});

test('each flag is read alone', () => {
  const plain = { ...sample, checkpoint: false };
  for (const [bit, name] of [
    [1, 'quarantined'],
    [2, 'unlisted'],
    [4, 'archived'],
    [8, 'checkpoint'],
  ] as const) {
    const { quarantined, unlisted, archived, checkpoint } = decodeRecord('d', store(pack(plain), 1, bit));
    const none = { quarantined: false, unlisted: false, archived: false, checkpoint: false };
    assert.deepEqual({ quarantined, unlisted, archived, checkpoint }, { ...none, [name]: true });
  }
});

test('a record of another length, format or status is refused and names its driver', () => {
  const good = store(pack(sample), 1);
  const otherFormat = Buffer.from(good);
  otherFormat[0] = 2;
  const otherStatus = Buffer.from(good);
  otherStatus[27] = 3;
  const longer = Buffer.concat([good, Buffer.alloc(1)]);
  for (const bad of [Buffer.alloc(0), good.subarray(0, 42), longer, otherFormat, otherStatus]) {
    assert.throws(
      () => decodeRecord('bus-7', bad),
      (error) => error instanceof PositionError && error.code === 'bad_record' && /bus-7/.test(error.message),
    );
  }
});

test('an arena holds its batch in order, ids of every length, and can be used again', () => {
  const arena = new Arena();
  const checkpointed = fc.tuple(position, fc.option(id)).map(([p, checkpointId]) => ({ ...p, checkpointId }));
  fc.assert(
    fc.property(fc.array(checkpointed, { maxLength: 300 }), (batch) => {
      arena.reset();
      for (const p of batch) arena.add(p);
      assert.equal(arena.count, batch.length);
      const expected = batch.map((p) => ({
        id: p.driverId,
        checkpointId: p.checkpointId ?? '',
        body: pack(p),
      }));
      assert.deepEqual(readArena(arena.bytes()), expected);
    }),
    { numRuns: 30 },
  );
});

test('an arena does not make a new buffer for the next batch', () => {
  const arena = new Arena();
  for (let i = 0; i < 512; i++)
    arena.add({ ...sample, driverId: 'x'.repeat(64), checkpointId: 'y'.repeat(64) });
  assert.equal(arena.bytes().length, 512 * (2 + 64 + 64 + BODY_BYTES + GEO_SCORE_DIGITS));
  const { buffer } = arena.bytes();
  arena.reset();
  assert.equal(arena.bytes().length, 0);
  arena.add(sample);
  assert.equal(arena.bytes().buffer, buffer);
});

test('an id that the length byte cannot hold is a broken invariant, and leaves the batch as it was', () => {
  const arena = new Arena();
  arena.add(sample);
  assert.throws(() => arena.add({ ...sample, driverId: '' }), RangeError);
  assert.throws(() => arena.add({ ...sample, checkpointId: 'x'.repeat(65) }), RangeError);
  assert.equal(arena.count, 1);
  assert.equal(readArena(arena.bytes()).length, 1);
});

test('the partition that a driver moved to stands behind the record', () => {
  const marked = Buffer.concat([store(pack(sample), 7, 16), Buffer.from([0x01, 0x02])]);
  assert.equal(decodeRecord('d', marked).movedTo, 0x0201);
  assert.throws(() => decodeRecord('d', store(pack(sample), 7, 16)), { code: 'bad_record' });
});

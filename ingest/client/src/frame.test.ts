import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  decodeClientMessage,
  decodeServerMessage,
  encodeAck,
  encodeAckInto,
  encodeClientMessage,
  encodeServerMessage,
} from './frame.js';
import { POSITION_FRAME_BYTES, readPositionFrame } from './position-frame.js';
import {
  DURABILITIES,
  MAX_POSITIONS,
  MAX_SEQ,
  NACK_CODES,
  type PositionReport,
  ProtocolError,
  type ServerMessage,
  STATUSES,
} from './protocol.js';

const seqs = fc.integer({ min: 1, max: MAX_SEQ });
const u16s = fc.integer({ min: 0, max: 65_535 });
const u32s = fc.integer({ min: 0, max: 2 ** 32 - 1 });
const u48s = fc.integer({ min: 0, max: 2 ** 48 - 1 });
const orNone = <T>(values: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> =>
  fc.option(values, { nil: undefined });
const idCharacters = [...'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-'];
const ids = fc.string({ unit: fc.constantFrom(...idCharacters), minLength: 1, maxLength: 64 });

// Values as a frame holds them, so that the result can be compared exactly.
const positions: fc.Arbitrary<{ type: 'position' } & PositionReport> = fc
  .record({
    type: fc.constant('position' as const),
    seq: seqs,
    recorded_at_ms: u48s,
    lat: fc.integer({ min: -90e7, max: 90e7 }).map((e7) => e7 / 1e7),
    lon: fc.integer({ min: -180e7, max: 180e7 }).map((e7) => e7 / 1e7),
    heading_deg: orNone(fc.integer({ min: 0, max: 35_999 }).map((cdeg) => cdeg / 100)),
    speed_mps: orNone(fc.integer({ min: 0, max: 65_534 }).map((cmps) => cmps / 100)),
    accuracy_m: orNone(fc.integer({ min: 0, max: 65_534 }).map((dm) => dm / 10)),
    status: fc.constantFrom(...STATUSES),
    services: u16s,
    checkpoint: fc.boolean(),
    checkpoint_id: orNone(ids),
  })
  .map((position) => ({
    ...position,
    checkpoint: position.checkpoint || position.checkpoint_id !== undefined,
  }));

// Cloned, since some records come without a prototype.
const serverMessages: fc.Arbitrary<ServerMessage> = fc
  .oneof(
    fc.record({
      type: fc.constant('hello' as const),
      session: u48s,
      server_time_ms: u48s,
      limits: fc.record({
        report_interval_ms: u32s,
        max_reports_per_s: u16s,
        burst: u16s,
        max_message_bytes: u32s,
        max_positions: u16s,
        freshness_ms: u32s,
        max_clock_ahead_ms: u32s,
        max_waiting_checkpoints: u16s,
        checkpoints_per_min: u16s,
        checkpoint_burst: u16s,
      }),
      durability: fc.constantFrom(...DURABILITIES),
    }),
    fc.record({ type: fc.constant('ack' as const), seq: seqs }),
    fc.record({ type: fc.constant('ack' as const), seq: seqs, durability: fc.constantFrom(...DURABILITIES) }),
    fc.record({ type: fc.constant('persisted' as const), seq: seqs }),
    fc.record({ type: fc.constant('pace' as const), report_interval_ms: u32s }),
    fc.record(
      {
        type: fc.constant('nack' as const),
        seq: fc.option(seqs),
        code: fc.constantFrom(...NACK_CODES),
        retryable: fc.boolean(),
        detail: fc.string({ unit: 'grapheme', maxLength: 80 }),
        retry_after_ms: fc.integer({ min: 0, max: 2 ** 32 - 2 }),
      },
      { requiredKeys: ['type', 'seq', 'code', 'retryable', 'detail'] },
    ),
  )
  .map((message) => structuredClone(message) as ServerMessage);

function refuses(decode: () => unknown): void {
  assert.throws(decode, (error) => error instanceof ProtocolError && error.code === 'bad_message');
}

describe('frames of a client', () => {
  it('lay a position out as PROTOCOL.md says', () => {
    const bytes = encodeClientMessage({
      type: 'position',
      seq: 0x01020304,
      recorded_at_ms: 0x0a0b0c0d0e0f,
      lat: 52.5,
      lon: -13.25,
      heading_deg: 90,
      speed_mps: 10,
      status: 'busy',
      services: 0x8001,
    });
    assert.equal(
      Buffer.from(bytes).toString('hex'),
      `11${'04030201'}${'0f0e0d0c0b0a'}${'40dd4a1f'}${'e0351af8'}${'2823'}${'e803'}${'ffff'}02${'0180'}`,
    );
  });

  it('carry every position unchanged', () => {
    fc.assert(
      fc.property(positions, (position) => {
        assert.deepEqual(decodeClientMessage(encodeClientMessage(position)), position);
      }),
    );
  });

  it('carry up to 100 positions in a message, with and without checkpoint ids', () => {
    fc.assert(
      fc.property(fc.array(positions, { minLength: 2, maxLength: MAX_POSITIONS }), (several) => {
        const message = { type: 'positions' as const, positions: several };
        assert.deepEqual(decodeClientMessage(encodeClientMessage(message)), message);
      }),
      { numRuns: 30 },
    );
  });

  it('carry bye and any token', () => {
    assert.deepEqual(decodeClientMessage(encodeClientMessage({ type: 'bye' })), { type: 'bye' });
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme', minLength: 1 }), (token) => {
        const message = { type: 'token' as const, token };
        assert.deepEqual(decodeClientMessage(encodeClientMessage(message)), message);
      }),
    );
  });

  it('are read in place, from a view into a larger buffer', () => {
    fc.assert(
      fc.property(positions, fc.nat(50), (position, before) => {
        const bytes = encodeClientMessage(position);
        const larger = new Uint8Array(before + bytes.length + 7);
        larger.set(bytes, before);
        assert.deepEqual(readPositionFrame(new DataView(larger.buffer), before), position);
        assert.deepEqual(decodeClientMessage(larger.subarray(before, before + bytes.length)), position);
      }),
    );
  });

  it('are refused when cut anywhere that is not the end of a position', () => {
    fc.assert(
      fc.property(fc.array(positions, { minLength: 1, maxLength: 3 }), fc.nat(), (several, cut) => {
        const ends = new Set<number>();
        let end = 0;
        for (const position of several) {
          end += encodeClientMessage(position).length;
          ends.add(end);
        }
        const at = cut % end;
        const bytes = encodeClientMessage({ type: 'positions', positions: several }).subarray(0, at);
        if (!ends.has(at)) refuses(() => decodeClientMessage(bytes));
      }),
    );
  });

  it('never fail with anything but a ProtocolError', () => {
    const nearly = fc
      .tuple(fc.constantFrom(0x11, 0x12, 0x13, 0x14), fc.uint8Array({ maxLength: 100 }))
      .map(([first, rest]) => Uint8Array.of(first, ...rest));
    for (const decode of [decodeClientMessage, decodeServerMessage])
      fc.assert(
        fc.property(fc.oneof(fc.uint8Array({ maxLength: 100 }), nearly), (bytes) => {
          try {
            decode(bytes);
          } catch (error) {
            assert.ok(error instanceof ProtocolError, String(error));
          }
        }),
        { numRuns: 2000 },
      );
  });

  it('are refused for another version, a type of the server, seq 0, an unknown status, a 101st position', () => {
    const position = { type: 'position' as const, seq: 7, recorded_at_ms: 1, lat: 1, lon: 2 };
    const bytes = encodeClientMessage(position);
    const changed = (at: number, value: number): Uint8Array => Uint8Array.from(bytes).fill(value, at, at + 1);
    refuses(() => decodeClientMessage(new Uint8Array()));
    refuses(() => decodeClientMessage(changed(0, 0x21)));
    refuses(() => decodeClientMessage(changed(0, 0x19)));
    refuses(() => decodeClientMessage(changed(0, 0x15)));
    refuses(() => decodeClientMessage(changed(1, 0)));
    refuses(() => decodeClientMessage(Uint8Array.of(0x13, 0)));
    refuses(() => decodeClientMessage(Uint8Array.of(0x14)));
    refuses(() => decodeClientMessage(Uint8Array.of(0x14, 0xff)));
    assert.throws(() => decodeClientMessage(changed(25, 3)), { name: 'ProtocolError', seq: 7 });
    refuses(() => decodeClientMessage(Buffer.concat(Array.from({ length: MAX_POSITIONS + 1 }, () => bytes))));
  });

  it('are not made of numbers that do not fit', () => {
    const position = { type: 'position' as const, seq: 7, recorded_at_ms: 1, lat: 1, lon: 2 };
    for (const wrong of [
      { seq: 0 },
      { seq: 2 ** 32 },
      { lat: 300 },
      { lat: Number.NaN },
      { lon: Number.POSITIVE_INFINITY },
      { services: 65_536 },
      { checkpoint_id: 'ü' },
      { recorded_at_ms: -1 },
    ])
      assert.throws(() => encodeClientMessage({ ...position, ...wrong }), RangeError);
  });

  it('clamp what has a limit and fold what goes round', () => {
    const position = { type: 'position' as const, seq: 7, recorded_at_ms: 1, lat: 1, lon: 2 };
    const sent = { ...position, heading_deg: 359.999, speed_mps: 1e9, accuracy_m: 1e9 };
    const read = readPositionFrame(new DataView(encodeClientMessage(sent).buffer), 0);
    assert.deepEqual([read.heading_deg, read.speed_mps, read.accuracy_m], [0, 655.34, 6553.4]);
    assert.equal(encodeClientMessage(position).length, POSITION_FRAME_BYTES);
  });
});

describe('frames of a server', () => {
  it('carry every message unchanged', () => {
    fc.assert(
      fc.property(serverMessages, (message) => {
        assert.deepEqual(decodeServerMessage(encodeServerMessage(message)), message);
      }),
      { numRuns: 500 },
    );
  });

  it('are refused when cut, save for what an ack may do without, and earlier hellos', () => {
    fc.assert(
      fc.property(serverMessages, fc.nat(), (message, cut) => {
        const bytes = encodeServerMessage(message);
        const at = cut % bytes.length;
        const mayEnd = (message.type === 'ack' && at === 5) || (message.type === 'hello' && at >= 38);
        if (!mayEnd) refuses(() => decodeServerMessage(bytes.subarray(0, at)));
      }),
      { numRuns: 500 },
    );
  });

  it('may grow: bytes behind the known ones are left unread', () => {
    const pace: ServerMessage = { type: 'pace', report_interval_ms: 4000 };
    assert.deepEqual(decodeServerMessage(Uint8Array.of(...encodeServerMessage(pace), 1, 2, 3)), pace);
  });

  it('acknowledge into a buffer that is used again', () => {
    const buffer = new Uint8Array(5);
    for (const seq of [1, 255, 256, 0x7fff_ffff, 0x8000_0000, MAX_SEQ]) {
      encodeAckInto(buffer, seq);
      assert.deepEqual(buffer, encodeAck(seq));
      assert.deepEqual(decodeServerMessage(buffer), { type: 'ack', seq });
    }
  });

  it('carry a nack code of a later server as a number', () => {
    const bytes = encodeServerMessage({
      type: 'nack',
      seq: 1,
      code: 'bad_message',
      retryable: true,
      detail: '',
    });
    bytes[1] = 200;
    assert.deepEqual(decodeServerMessage(bytes), {
      type: 'nack',
      seq: 1,
      code: 'code_200',
      retryable: true,
      detail: '',
    });
  });
});

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  formatAck,
  MAX_POSITIONS,
  NACK_CODES,
  nackMessage,
  ProtocolError,
  parseClientMessage,
  RETRYABLE,
} from './protocol.js';
import { parseServerMessage } from './server-message.js';

describe('parseClientMessage', () => {
  it('passes values on as they came, for the validation of positions to judge', () => {
    const text = '{"type":"position","seq":3,"recorded_at_ms":"x","lat":999,"lon":null,"later_field":1}';
    const message = parseClientMessage(text);
    assert.equal(message.type, 'position');
    assert.ok('seq' in message && message.seq === 3 && message.lat === 999 && message.lon === null);
  });

  it('reads positions, bye and token', () => {
    assert.deepEqual(parseClientMessage('{"type":"positions","positions":[{"seq":1},{"seq":2}]}'), {
      type: 'positions',
      positions: [{ seq: 1 }, { seq: 2 }],
    });
    assert.deepEqual(parseClientMessage('{"type":"bye","why":"home"}'), { type: 'bye' });
    assert.deepEqual(parseClientMessage('{"type":"token","token":"a.b.c"}'), {
      type: 'token',
      token: 'a.b.c',
    });
  });

  for (const [text, seq] of [
    ['', null],
    ['{', null],
    ['null', null],
    ['[]', null],
    ['"position"', null],
    ['{}', null],
    ['{"seq":5}', 5],
    ['{"type":"hello","seq":5}', 5],
    ['{"type":"Position","seq":0}', null],
    ['{"type":"position"}', null],
    ['{"type":"position","seq":"1"}', null],
    ['{"type":"position","seq":0}', null],
    ['{"type":"position","seq":-1}', null],
    ['{"type":"position","seq":1.5}', null],
    ['{"type":"position","seq":4294967296}', null],
    ['{"type":"positions"}', null],
    ['{"type":"positions","positions":{}}', null],
    ['{"type":"positions","positions":[]}', null],
    ['{"type":"positions","positions":[{"seq":1},7]}', null],
    ['{"type":"positions","positions":[{"seq":1},{}]}', null],
    ['{"type":"token"}', null],
    ['{"type":"token","token":""}', null],
    ['{"type":"token","token":7}', null],
  ] as const)
    it(`refuses ${text || 'nothing'}`, () => {
      assert.throws(() => parseClientMessage(text), { name: 'ProtocolError', code: 'bad_message', seq });
    });

  it('takes 100 positions and not one more', () => {
    const message = (count: number): string =>
      JSON.stringify({
        type: 'positions',
        positions: Array.from({ length: count }, (_, i) => ({ seq: i + 1 })),
      });
    assert.equal(parseClientMessage(message(MAX_POSITIONS)).type, 'positions');
    assert.throws(() => parseClientMessage(message(MAX_POSITIONS + 1)), ProtocolError);
  });

  it('never fails with anything but a ProtocolError', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.json(),
          fc.string(),
          fc.object().map((o) => JSON.stringify(o)),
        ),
        (text) => {
          for (const parse of [parseClientMessage, parseServerMessage])
            try {
              parse(text);
            } catch (error) {
              assert.ok(error instanceof ProtocolError, String(error));
            }
        },
      ),
    );
  });
});

describe('parseServerMessage', () => {
  const limits = {
    report_interval_ms: 2000,
    max_reports_per_s: 5,
    burst: 10,
    max_message_bytes: 4096,
    max_positions: 100,
    freshness_ms: 10_000,
    max_clock_ahead_ms: 5000,
    max_waiting_checkpoints: 10,
  };
  const hello = { type: 'hello', session: 1, server_time_ms: 2, limits, durability: 'cache' };

  it('reads every message of the contract', () => {
    for (const message of [
      hello,
      { type: 'ack', seq: 1 },
      { type: 'ack', seq: 1, durability: 'cache' },
      { type: 'persisted', seq: 1 },
      { type: 'pace', report_interval_ms: 4000 },
      { type: 'nack', seq: null, code: 'bad_message', retryable: false, detail: 'not JSON' },
      { type: 'nack', seq: 4, code: 'overloaded', retryable: true, retry_after_ms: 1000, detail: '' },
    ])
      assert.deepEqual(parseServerMessage(JSON.stringify(message)), message);
  });

  it('takes a nack code that it does not know, since retryable says enough', () => {
    const text = '{"type":"nack","seq":1,"code":"of_tomorrow","retryable":true,"detail":""}';
    assert.deepEqual(parseServerMessage(text), JSON.parse(text));
  });

  for (const wrong of [
    { type: 'news' },
    { ...hello, limits: undefined },
    { ...hello, limits: { ...limits, freshness_ms: '10' } },
    { ...hello, durability: 'stone' },
    { type: 'ack' },
    { type: 'nack', seq: 1, code: 7, retryable: true },
    { type: 'nack', seq: 1, code: 'stale' },
  ])
    it(`refuses ${JSON.stringify(wrong)}`, () => {
      assert.throws(() => parseServerMessage(JSON.stringify(wrong)), ProtocolError);
    });
});

describe('what a server writes', () => {
  it('is what a client reads', () => {
    assert.deepEqual(parseServerMessage(formatAck(7)), { type: 'ack', seq: 7 });
    assert.deepEqual(parseServerMessage(formatAck(7, 'cache')), { type: 'ack', seq: 7, durability: 'cache' });
  });

  it('says retryable for outages alone', () => {
    assert.deepEqual(
      NACK_CODES.filter((code) => RETRYABLE[code]),
      ['region_unavailable', 'overloaded', 'not_ready'],
    );
    assert.deepEqual(nackMessage('overloaded', null, 'later', 500), {
      type: 'nack',
      seq: null,
      code: 'overloaded',
      retryable: true,
      detail: 'later',
      retry_after_ms: 500,
    });
    assert.ok(!('retry_after_ms' in nackMessage('stale', 1, 'older than the last')));
  });
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ReplyDecoder, ReplyError, type ReplyValue } from './reply-decoder.js';

function encoded(reply: ReplyValue): Buffer {
  if (reply === null) return Buffer.from('$-1\r\n');
  if (typeof reply === 'number') return Buffer.from(`:${reply}\r\n`);
  if (reply instanceof ReplyError) return Buffer.from(`-${reply.message}\r\n`);
  if (Buffer.isBuffer(reply))
    return Buffer.concat([Buffer.from(`$${reply.length}\r\n`), reply, Buffer.from('\r\n')]);
  return Buffer.concat([Buffer.from(`*${reply.length}\r\n`), ...reply.map(encoded)]);
}

function decoded(chunks: readonly Buffer[]): ReplyValue[] {
  const replies: ReplyValue[] = [];
  const decoder = new ReplyDecoder((reply) => replies.push(reply));
  for (const chunk of chunks) decoder.write(chunk);
  return replies;
}

/** Cut at these shares of its length. */
function cut(bytes: Buffer, shares: readonly number[]): Buffer[] {
  const places = shares.map((share) => Math.floor(share * bytes.length)).sort((a, b) => a - b);
  return [0, ...places].map((from, i) => bytes.subarray(from, places[i] ?? bytes.length));
}

const leaf: fc.Arbitrary<ReplyValue> = fc.oneof(
  fc.constant(null),
  fc.maxSafeInteger(),
  fc.uint8Array({ maxLength: 60 }).map((bytes) => Buffer.from(bytes)),
  fc.stringMatching(/^[A-Z]{1,8}( [ -~ł]{0,20})?$/).map((message) => new ReplyError(message)),
);
const value: fc.Arbitrary<ReplyValue> = fc.oneof(
  leaf,
  fc.array(fc.oneof(leaf, fc.array(leaf, { maxLength: 5 })), { maxLength: 5 }),
);

test('replies come out as they were sent, wherever the chunks are cut', () => {
  const shares = fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 12 });
  fc.assert(
    fc.property(fc.array(value, { maxLength: 6 }), shares, (replies, at) => {
      const bytes = Buffer.concat(replies.map(encoded));
      assert.deepEqual(decoded(cut(bytes, at)), replies);
    }),
    { seed: 1, numRuns: 2000 },
  );
});

test('byte by byte: simple strings, empty and absent values', () => {
  const bytes = Buffer.from('+OK\r\n*-1\r\n*0\r\n$0\r\n\r\n:-12\r\n*2\r\n$-1\r\n*1\r\n-ERR no\r\n');
  const expected = [Buffer.from('OK'), null, [], Buffer.alloc(0), -12, [null, [new ReplyError('ERR no')]]];
  assert.deepEqual(decoded([bytes]), expected);
  assert.deepEqual(decoded([...bytes].map((byte) => Buffer.of(byte))), expected);
});

test('bytes that are no replies are refused', () => {
  for (const text of ['?\r\n', ':1x\r\n', '$-\r\nHTTP', '*1\r\n'.repeat(20)])
    assert.throws(() => decoded([Buffer.from(text)]), Error, text);
});

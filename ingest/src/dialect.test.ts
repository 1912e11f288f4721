import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decodeServerMessage } from '@whereabouts/client/frame';
import { BINARY_DIALECT, JSON_DIALECT } from './dialect.js';

const SEQS = [1, 9, 10, 99, 100, 12_345, 999_999_999, 1_000_000_000, 2_147_483_648, 4_294_967_295];

test('a prepared acknowledgement reads as the plain one does, in any order of lengths', () => {
  for (const seq of [...SEQS, ...SEQS.reverse()]) {
    const json = Buffer.from(JSON_DIALECT.ack(seq, undefined) as Uint8Array).toString();
    assert.deepEqual(JSON.parse(json), { type: 'ack', seq });
    const binary = BINARY_DIALECT.ack(seq, undefined) as Uint8Array;
    assert.deepEqual(decodeServerMessage(binary), { type: 'ack', seq });
  }
});

test('a lesser durability is told in both', () => {
  const expected = { type: 'ack', seq: 7, durability: 'cache' };
  assert.deepEqual(JSON.parse(JSON_DIALECT.ack(7, 'cache') as string), expected);
  assert.deepEqual(decodeServerMessage(BINARY_DIALECT.ack(7, 'cache') as Uint8Array), expected);
});

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { DatabaseError } from 'pg';
import { Pieces } from './pieces.js';

function postgresError(code: string): DatabaseError {
  return Object.assign(new DatabaseError(code, 0, 'error'), { code });
}

const numbers = (count: number) => Array.from({ length: count }, (_, i) => i);

/** Remembers what was written, and how it was called. */
function journal(trouble: (piece: readonly number[], call: number) => string | Error | null) {
  const written: number[] = [];
  const calls: { size: number; isLast: boolean }[] = [];
  const write = async (piece: readonly number[], isLast: boolean) => {
    calls.push({ size: piece.length, isLast });
    const error = trouble(piece, calls.length);
    if (error !== null) throw typeof error === 'string' ? postgresError(error) : error;
    written.push(...piece);
  };
  return { written, calls, write };
}

test('all is well: pieces within the limit, in order, the last one told', async () => {
  const { written, calls, write } = journal(() => null);
  assert.deepEqual(await new Pieces(4).write(numbers(10), write), []);
  assert.deepEqual(written, numbers(10));
  const sizes = calls.map(({ size, isLast }) => (isLast ? -size : size));
  assert.deepEqual(sizes, [4, 4, -2]);
});

test('nothing to write is one empty last piece', async () => {
  const { calls, write } = journal(() => null);
  await new Pieces(4).write([], write);
  assert.deepEqual(calls, [{ size: 0, isLast: true }]);
});

describe('refused', () => {
  for (const bad of [[0], [99], [41, 42], [0, 50, 99], numbers(100)]) {
    test(`finds ${bad.length === 100 ? 'all of 100' : bad} and writes the rest`, async () => {
      const { written, calls, write } = journal((piece) =>
        piece.some((n) => bad.includes(n)) ? '23514' : null,
      );
      assert.deepEqual(await new Pieces(100).write(numbers(100), write), bad);
      assert.deepEqual(
        written,
        numbers(100).filter((n) => !bad.includes(n)),
      );
      assert.equal(calls.at(-1)?.isLast, true, 'what comes with the last piece is never left out');
      assert.ok(calls.length <= 2 * 100);
    });
  }

  test('what comes with an empty last piece cannot be refused away', async () => {
    const { write } = journal(() => '23514');
    await assert.rejects(new Pieces(4).write([], write), { code: 'archive_away' });
  });
});

describe('contended', () => {
  test('fails four times, then succeeds', async () => {
    const { written, calls, write } = journal((_, call) => (call <= 4 ? '40P01' : null));
    await new Pieces(4).write(numbers(3), write);
    assert.deepEqual(written, numbers(3));
    assert.equal(calls.length, 5);
  });

  test('fails for ever: given up', async () => {
    const { calls, write } = journal(() => '55P03');
    await assert.rejects(new Pieces(4).write(numbers(3), write), { code: 'archive_away' });
    assert.equal(calls.length, 5);
  });
});

describe('slow', () => {
  test('fewer rows at once, and more again when it goes well', async () => {
    const pieces = new Pieces(1600);
    const slow = journal((piece) => (piece.length > 400 ? '57014' : null));
    await pieces.write(numbers(1600), slow.write);
    assert.deepEqual(slow.written, numbers(1600));
    const tooSlow = slow.calls.filter(({ size }) => size > 400).length;
    assert.ok(tooSlow >= 2 && tooSlow <= 4, `${tooSlow} of ${slow.calls.length}`);
    const well = journal(() => null);
    for (let i = 0; i < 20; i++) await pieces.write(numbers(1600), well.write);
    assert.deepEqual(well.calls.at(-1), { size: 1600, isLast: true });
  });

  test('too slow for a hundred rows: given up', async () => {
    const { calls, write } = journal(() => '57014');
    await assert.rejects(new Pieces(1600).write(numbers(1600), write), { code: 'archive_away' });
    assert.equal(calls.at(-1)?.size, 100);
    assert.ok(calls.length < 8);
  });
});

for (const [name, error] of [
  ['the connection breaks', Object.assign(new Error('broken'), { code: 'EPIPE' })],
  ['the server shuts down', postgresError('57P01')],
  ['a table is missing', postgresError('42P01')],
] as const) {
  test(`${name}: given up at once, with the cause`, async () => {
    const { calls, write } = journal(() => error);
    await assert.rejects(new Pieces(4).write(numbers(3), write), { code: 'archive_away', cause: error });
    assert.equal(calls.length, 1);
  });
}

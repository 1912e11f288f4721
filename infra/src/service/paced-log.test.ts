import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PacedLog } from './paced-log.js';

test('each kind at once, then every ten seconds with its count', () => {
  const paced = new PacedLog();
  const lines: string[] = [];
  for (let ms = 0; ms <= 25_000; ms += 100) {
    for (const kind of ['a', 'b']) paced.log(kind, (times) => lines.push(`${ms} ${kind} ${times}`), ms);
  }
  assert.deepEqual(lines, ['0 a 1', '0 b 1', '10000 a 100', '10000 b 100', '20000 a 100', '20000 b 100']);
});

test('what it remembers is bounded', () => {
  const paced = new PacedLog();
  let lines = 0;
  for (let i = 0; i < 10_000; i++) paced.log(`kind ${i}`, () => lines++, 0);
  assert.equal(lines, 10_000);
  paced.log('kind 9999', () => lines++, 1);
  assert.equal(lines, 10_000);
});

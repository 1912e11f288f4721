import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseCommand } from './cli.js';

const COMMAND = {
  name: 'run fly',
  about: 'Flies.',
  options: { height: { value: 'M', about: 'how high' }, fast: { about: 'faster' } },
};

const read = (...args: string[]) => parseCommand(COMMAND, args);

test('values, switches and the common --json', () => {
  const args = read('--height', '12', '--fast', '--json');
  assert.equal(args.number('height', { min: 1, max: 20 }), 12);
  assert.equal(args.has('fast'), true);
  assert.equal(args.has('json'), true);
  assert.equal(read().number('height', { min: 1, max: 20 }), undefined);
});

test('an unknown option is refused, with the one that was meant', () => {
  assert.throws(() => read('--heigth', '12'), /no option --heigth\. Did you mean --height\?/);
  assert.throws(() => read('--colour'), /no option --colour\. See: npm run fly -- --help/);
});

test('a number out of its bounds, or none at all, is refused with the bounds', () => {
  const bounds = { min: 1, max: 20 };
  for (const text of ['0', '21', '1.5', 'high', '']) {
    assert.throws(
      () => read(`--height=${text}`).number('height', bounds),
      /--height must be an integer from 1 to 20/,
    );
  }
  assert.equal(read('--height', '1.5').number('height', { ...bounds, integer: false }), 1.5);
});

test('a missing value and a stray word are refused', () => {
  assert.throws(() => read('--height'), { code: 'usage' });
  assert.throws(() => read('up'), /"up" is not expected/);
});

test('an option that npm took for itself is told', () => {
  process.env.npm_config_height = '12';
  try {
    assert.throws(() => read(), /Put -- before it: npm run fly -- --height/);
  } finally {
    delete process.env.npm_config_height;
  }
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cut, hasColours, tableText, widthOf, wrapText } from './terminal.js';

const red = (text: string) => `\u001b[31m${text}\u001b[39m`;

test('a table is as wide as its cells, numbers at the right, colours count nothing', () => {
  const rows = [
    ['7100', 5, red('down')],
    ['7101', 1_000, 'up'],
  ];
  const text = tableText(['name', 'drivers', ''], rows, { right: [1], columns: null });
  assert.deepEqual(text.split('\n'), ['name  drivers', `7100        5  ${red('down')}`, '7101     1000  up']);
});

test('where the terminal is narrower the longest cells are cut, and it is shown', () => {
  const rows = [['127.0.0.1:7100', 'a word about it that is much too long for a terminal', 1]];
  for (const columns of [60, 40, 30]) {
    const lines = tableText(['address', 'about', 'n'], rows, { columns }).split('\n');
    assert.ok(lines.every((line) => widthOf(line) <= columns));
    assert.match(lines[1] ?? '', /^127.*….* 1$/);
  }
});

test('heads give way first, then spare columns, and cells last', () => {
  const rows = [['127.0.0.1:7100', 'master', '12 MiB', 3]];
  const heads = ['node', 'role', 'memory in use', 'loss window of it'];
  const at = (columns: number) => tableText(heads, rows, { columns, spare: [2, 1] }).split('\n')[1];
  assert.equal(at(60), '127.0.0.1:7100  master  12 MiB         3');
  assert.equal(at(38), '127.0.0.1:7100  master  12 MiB  3');
  assert.equal(at(30), '127.0.0.1:7100  master  3');
  assert.equal(at(24), '127.0.0.1:7100  3');
  assert.equal(at(16), '127.0.0…  3');
});

test('a long text is broken between words, and indented', () => {
  assert.equal(wrapText('  - one two three four', 4, 12), '  - one two\n    three\n    four');
  assert.equal(wrapText('  - one two three four', 4, null), '  - one two three four');
  assert.equal(wrapText('  averylongwordindeed x', 4, 10), '  averylongwordindeed\n    x');
});

test('a text with colours is cut by what is seen, and its colours end', () => {
  assert.equal(cut(red('unreachable'), 5), red('unre…'));
  assert.equal(cut('up', 5), 'up');
});

test('colours: NO_COLOR, then FORCE_COLOR, then whether it is a terminal', () => {
  const terminal = { isTTY: true, columns: 80 } as const;
  const pipe = {} as NodeJS.WriteStream;
  assert.equal(hasColours(terminal, {}), true);
  assert.equal(hasColours(pipe, {}), false);
  assert.equal(hasColours(terminal, { NO_COLOR: '1' }), false);
  assert.equal(hasColours(terminal, { TERM: 'dumb' }), false);
  assert.equal(hasColours(pipe, { FORCE_COLOR: '1' }), true);
  assert.equal(hasColours(pipe, { FORCE_COLOR: '1', NO_COLOR: '1' }), false);
  assert.equal(hasColours(terminal, { FORCE_COLOR: '0' }), false);
});

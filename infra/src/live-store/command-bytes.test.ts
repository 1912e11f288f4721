import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Command } from 'ioredis';
import { type Argument, encodeCommands } from './command-bytes.js';

test('commands that leave together stand one after the other', () => {
  const commands: Argument[][] = [['PING'], ['SET', 'ł', Buffer.from([0, 255])], ['GET', 'ł']];
  assert.deepEqual(encodeCommands(commands), Buffer.concat(commands.map((args) => encodeCommands([args]))));
});

test('the bytes are those that ioredis would send', () => {
  const argument = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.maxSafeInteger(),
    fc.double({ noNaN: true, min: -1e6, max: 1e6 }),
    fc.uint8Array().map((bytes) => Buffer.from(bytes)),
  );
  const check = (args: Argument[]) => {
    const theirs = new Command('FCALL', args as never[]);
    (theirs as unknown as { stringifyArguments(): void }).stringifyArguments();
    const expected = theirs.toWritable({} as never) as string | Buffer;
    assert.deepEqual(encodeCommands([['FCALL', ...args]]), Buffer.from(expected as string));
  };
  check([]);
  check(['f', 1, 'key', Buffer.alloc(0), 'ł']);
  fc.assert(fc.property(fc.array(argument, { maxLength: 8 }), check), { seed: 1 });
});

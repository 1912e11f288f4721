import assert from 'node:assert/strict';
import { PassThrough } from 'node:stream';
import { test } from 'node:test';
import { createNarrator } from './narrator.js';

/** What was written, and what a person sees of it: a line that was taken back is no longer there. */
function output(terminal: { columns: number } | null) {
  const stream = new PassThrough();
  let text = '';
  stream.setEncoding('utf8').on('data', (more) => {
    text += more;
  });
  const given = Object.assign(stream, terminal && { isTTY: true, ...terminal });
  return {
    stream: given as unknown as NodeJS.WriteStream,
    written: () => text,
    seen: () => text.split('\n').map((line) => line.split('\r\u001b[2K').at(-1) ?? ''),
  };
}

test('at a terminal a step shows how long it takes, and stays with that', async () => {
  const { stream, written, seen } = output({ columns: 40 });
  const narrator = createNarrator(false, stream);
  narrator.say('Starting Postgres ...');
  await new Promise((resolve) => setTimeout(resolve, 1_100));
  assert.match(written(), /Starting Postgres \.\.\. 1 s/);
  narrator.say('Ready.');
  assert.deepEqual(seen().slice(0, 2), ['Starting Postgres ... 1 s', 'Ready.']);
});

test('at a terminal the live line never wraps, and an ordinary one takes its place', () => {
  const { stream, seen } = output({ columns: 20 });
  const narrator = createNarrator(false, stream);
  narrator.status('1,000 drivers   500 positions/s   9 s', {});
  assert.deepEqual(seen(), ['1,000 drivers   50…']);
  narrator.say('A node is down.');
  assert.deepEqual(seen(), ['A node is down.', '']);
});

test('elsewhere each is a plain line, the live one now and then', () => {
  const { stream, written } = output(null);
  const narrator = createNarrator(false, stream);
  narrator.say('Starting Postgres ...');
  narrator.status('1 driver', {});
  narrator.status('2 drivers', {});
  narrator.say('Stopped.');
  assert.equal(written(), 'Starting Postgres ...\n1 driver\nStopped.\n');
});

test('for programs it is JSON lines without colours', () => {
  const { stream, written } = output({ columns: 80 });
  const narrator = createNarrator(true, stream);
  narrator.say('\u001b[31mdown\u001b[39m', 'node_down', { node: 'a' });
  narrator.status('text', { drivers: 1 });
  assert.deepEqual(
    written()
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line)),
    [
      { event: 'node_down', text: 'down', node: 'a' },
      { event: 'status', drivers: 1 },
    ],
  );
});

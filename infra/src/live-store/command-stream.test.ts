// Against a server that answers what the test says.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import { CommandStream } from './command-stream.js';

const SILENCE_MS = 200;

async function connected(t: TestContext): Promise<{ stream: CommandStream; socket: Socket; peer: Socket }> {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const socket = connect((server.address() as AddressInfo).port, '127.0.0.1');
  const [[peer]] = (await Promise.all([once(server, 'connection'), once(socket, 'connect')])) as [
    [Socket],
    [],
  ];
  socket.on('error', () => {});
  peer.on('error', () => {});
  peer.resume();
  t.after(() => {
    socket.destroy();
    peer.destroy();
    server.close();
  });
  return { stream: new CommandStream(socket, SILENCE_MS), socket, peer };
}

/** Of an error too, which `once` would reject with. */
const closed = (socket: Socket) => new Promise<void>((resolve) => socket.once('close', () => resolve()));

/** What became of it: the replies as text, or why there are none. */
function sent(stream: CommandStream, commands: string[][], asking = false): Promise<string> {
  return new Promise((resolve) => {
    const answered = (replies: readonly unknown[]) => resolve(replies.map(String).join(' '));
    const refused = ({ message }: { message: string }) => resolve(message);
    stream.send([{ commands, asking, answered, refused, failed: () => resolve('failed') }]);
  });
}

test('each call has the replies of its own commands, and the first error stands for all of them', async (t) => {
  const { stream, peer } = await connected(t);
  const calls = [sent(stream, [['A'], ['B']]), sent(stream, [['C'], ['D'], ['E']]), sent(stream, [['F']])];
  peer.write('+a\r\n:1\r\n+c\r\n-ERR d\r\n-ERR e\r\n$1\r\nf\r\n');
  assert.deepEqual(await Promise.all(calls), ['a 1', 'ERR d', 'f']);
});

test('what ASKING answers is nobody’s reply, be it an error', async (t) => {
  const { stream, peer } = await connected(t);
  const calls = [sent(stream, [['A'], ['B']], true), sent(stream, [['C']])];
  peer.write('+OK\r\n+a\r\n-ERR asking\r\n+b\r\n+c\r\n');
  assert.deepEqual(await Promise.all(calls), ['a b', 'c']);
});

test('a socket that is silent while an answer is due is closed, and all that wait fail', async (t) => {
  const { stream, socket, peer } = await connected(t);
  const calls = [sent(stream, [['A']]), sent(stream, [['B'], ['C']])];
  peer.write('+a\r\n+b\r\n');
  await closed(socket);
  assert.deepEqual(await Promise.all(calls), ['a', 'failed']);
  assert.equal(await sent(stream, [['D']]), 'failed');
});

test('with no answer due, silence is no fault', async (t) => {
  const { stream, socket, peer } = await connected(t);
  const call = sent(stream, [['A']]);
  peer.write('+a\r\n');
  assert.equal(await call, 'a');
  await new Promise((resolve) => setTimeout(resolve, 2 * SILENCE_MS));
  assert.equal(socket.destroyed, false);
});

test('a reply that nobody asked for, or that is none, closes the socket', async (t) => {
  for (const bytes of ['+a\r\n+b\r\n', '+a\r\nHTTP/1.1 400\r\n']) {
    const { stream, socket, peer } = await connected(t);
    const call = sent(stream, [['A']]);
    peer.write(bytes);
    await closed(socket);
    assert.equal(await call, 'a');
  }
});

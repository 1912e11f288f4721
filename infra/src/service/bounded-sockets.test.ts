import assert from 'node:assert/strict';
import { createServer, type RequestListener } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  BoundedSockets,
  LASTING,
  type SocketBounds,
  type SocketLoss,
  socketsWithin,
} from './bounded-sockets.js';

const DEADLINE_MS = 10_000;

interface Listening {
  port: number;
  bounded: BoundedSockets;
  lost: SocketLoss[];
  clock: { ms: number };
}

async function listening(t: TestContext, bounds: SocketBounds, answer: RequestListener): Promise<Listening> {
  const server = createServer(answer);
  const lost: SocketLoss[] = [];
  const clock = { ms: 0 };
  const bounded = new BoundedSockets(server, bounds, {
    lost: (why) => lost.push(why),
    nowMs: () => clock.ms,
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    server.close();
    server.closeAllConnections();
  });
  return { port: (server.address() as AddressInfo).port, bounded, lost, clock };
}

interface Peer {
  socket: Socket;
  text(): string;
  isOpen(): boolean;
}

async function peer(t: TestContext, port: number, localAddress = '127.0.0.1'): Promise<Peer> {
  const socket = connect({ port, host: '127.0.0.1', localAddress });
  t.after(() => socket.destroy());
  let text = '';
  let isOpen = true;
  socket.on('data', (data) => {
    text += data;
  });
  socket.on('error', () => {});
  for (const gone of ['end', 'close']) {
    socket.on(gone, () => {
      isOpen = false;
    });
  }
  await new Promise<void>((resolve) => socket.once('connect', resolve));
  return { socket, text: () => text, isOpen: () => isOpen };
}

async function until(holds: () => boolean): Promise<void> {
  const endMs = performance.now() + DEADLINE_MS;
  while (!holds()) {
    assert.ok(performance.now() < endMs, 'not in time');
    await sleep(5);
  }
}

const GET = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n';
const answered = ({ text }: Peer) => /^HTTP\/1\.1 200 /.test(text());

test('sockets: at the bound, the one that is idle longest makes room, and each newcomer is answered', async (t) => {
  const bounds = { inAll: 4, perAddress: 4 };
  const { port, bounded, lost } = await listening(t, bounds, (_request, response) => response.end('x'));
  const peers: Peer[] = [];
  for (let i = 0; i < 4; i++) {
    peers.push(await peer(t, port));
    await until(() => bounded.size === i + 1);
  }
  // It was the oldest, and is now the one that was of use last.
  peers[0]?.socket.write(GET);
  await until(() => answered(peers[0] as Peer));
  for (let i = 0; i < 3; i++) {
    const newcomer = await peer(t, port);
    newcomer.socket.write(GET);
    await until(() => answered(newcomer));
  }
  await until(() => peers.slice(1).every(({ isOpen }) => !isOpen()));
  assert.equal(peers[0]?.isOpen(), true);
  assert.equal(bounded.size, 4);
  assert.equal(lost.length, 3);
});

test('sockets: an address at its bound loses its own, not those of others', async (t) => {
  const bounds = { inAll: 100, perAddress: 3 };
  const { port, bounded, lost } = await listening(t, bounds, (_request, response) => response.end('x'));
  const other = await peer(t, port, '127.0.0.2');
  const many: Peer[] = [];
  for (let i = 0; i < 50; i++) many.push(await peer(t, port));
  await until(() => many.filter(({ isOpen }) => isOpen()).length === 3);
  assert.equal(bounded.size, 4);
  assert.deepEqual([other.isOpen(), new Set(lost)], [true, new Set(['address_limit'])]);
});

test('sockets: a request under way is never cut off; when all are busy, the newcomer hears 503', async (t) => {
  const waiting: (() => void)[] = [];
  const bounds = { inAll: 2, perAddress: 2 };
  const { port, bounded, lost } = await listening(t, bounds, (_request, response) => {
    waiting.push(() => response.end('x'));
  });
  const busy = [await peer(t, port), await peer(t, port)];
  for (const { socket } of busy) socket.write(GET);
  await until(() => waiting.length === 2);
  const newcomer = await peer(t, port);
  await until(() => !newcomer.isOpen());
  assert.match(newcomer.text(), /^HTTP\/1\.1 503 [\s\S]*retry-after: 1[\s\S]*"code":"overloaded"/);
  assert.deepEqual(lost, ['refused']);
  for (const answer of waiting) answer();
  await until(() => busy.every(answered));
  await until(() => bounded.size === 2);
  const next = await peer(t, port);
  next.socket.write(GET);
  await until(() => waiting.length === 3);
});

test('sockets: whoever does not read an answer is not busy for ever', async (t) => {
  const bounds = { inAll: 2, perAddress: 2 };
  // More than the kernel takes off our hands.
  const large = 'x'.repeat(50_000_000);
  let requests = 0;
  const { port, lost, clock } = await listening(t, bounds, (_request, response) => {
    requests++;
    response.end(large);
  });
  const deaf = [await peer(t, port), await peer(t, port)];
  for (const { socket } of deaf) socket.pause().write(GET);
  await until(() => requests === 2);
  clock.ms = 31_000;
  const newcomer = await peer(t, port);
  newcomer.socket.write(GET);
  await until(() => answered(newcomer));
  assert.deepEqual(lost, ['address_limit']);
});

test('sockets: as many as the open files allow', () => {
  assert.equal(socketsWithin(10_000, null), 10_000);
  assert.equal(socketsWithin(10_000, 1_048_576), 10_000);
  assert.equal(socketsWithin(10_000, 1_024), 832);
  assert.equal(socketsWithin(10_000, 128), 64);
  assert.equal(socketsWithin(64, 1_024), 64);
});

test('sockets: one whose answer lasts is not closed for others, however long ago it began', async (t) => {
  const bounds = { inAll: 3, perAddress: 3 };
  const { port, bounded, lost, clock } = await listening(t, bounds, ({ url }, response) => {
    if (url === '/lasting') response.emit(LASTING);
    response.write('x');
  });
  const ask = async (path: string) => {
    const asking = await peer(t, port);
    asking.socket.write(`GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`);
    await until(() => answered(asking));
    return asking;
  };
  const [first, second] = [await ask('/lasting'), await ask('/lasting')];
  const stuck = await ask('/stuck');
  clock.ms = 3_600_000;
  const newcomer = await ask('/lasting');
  await until(() => !stuck.isOpen());
  assert.deepEqual([first.isOpen(), second.isOpen(), newcomer.isOpen()], [true, true, true]);
  clock.ms *= 2;
  const refused = await peer(t, port);
  await until(() => /^HTTP\/1\.1 503 /.test(refused.text()));
  assert.deepEqual(lost, ['address_limit', 'refused']);
  first.socket.destroy();
  await until(() => bounded.size <= 2);
});

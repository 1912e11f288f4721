// What a client does when it is refused: by HTTP, by a close code, or because nothing listens. It always reports it,
// comes back after growing pauses, and uses another token at once.
import assert from 'node:assert/strict';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { describe, it } from 'node:test';
import { WebSocket } from 'ws';
import { DriverClient } from './driver-client.js';
import { type TestRefusal, until } from './test-peer.js';
import { BERLIN, closeAfterEach, closesOf, connect, QUICK, refusalsOf, serve } from './test-rig.js';

closeAfterEach();

/** Longer than any test, so nothing that happens is due to its end. */
const LONG = { baseMs: 1e9, maxMs: 1e9 };

const problem = (status: number, code: string, headers: Record<string, string> = {}): TestRefusal => ({
  status,
  headers: { 'content-type': 'application/problem+json', ...headers },
  body: JSON.stringify({ status, code, detail: 'as I say' }),
});

describe('DriverClient, whose token is refused', () => {
  for (const status of [401, 403])
    it(`tries the same token again after HTTP ${status}, N times, and says so`, async () => {
      const server = await serve({
        upgrade: (_, nth) => (nth <= 4 ? problem(status, 'token_invalid') : undefined),
      });
      const client = connect(server, { tokenBackoff: QUICK });
      const refusals = refusalsOf(client);
      const closes = closesOf(client);
      client.report(BERLIN);
      await until('a report', () => server.peers[0]?.positions.length === 1);
      assert.equal(server.upgrades, 5);
      assert.equal(refusals.length, 4);
      for (const [i, { code, reason, status: said, retryInMs }] of refusals.entries()) {
        assert.deepEqual([code, said], [status === 401 ? 4401 : 4403, status]);
        assert.equal(reason, `HTTP ${status} token_invalid: as I say`);
        assert.ok(retryInMs !== null && retryInMs <= QUICK.maxMs);
        assert.deepEqual(closes[i], { code, reason, status, reconnectInMs: retryInMs });
      }
    });

  it('goes on for ever with a token that stays refused, at bounded waits, and with its checkpoints', async () => {
    const server = await serve({ upgrade: () => 401 });
    const client = connect(server, { tokenBackoff: QUICK });
    const refusals = refusalsOf(client);
    void client.checkpoint(BERLIN).catch(() => {});
    await until('30 refusals', () => refusals.length >= 30, 30_000);
    assert.ok(refusals.every(({ retryInMs }) => retryInMs !== null && retryInMs <= QUICK.maxMs));
    assert.equal(client.stats.waitingCheckpoints, 1);
    assert.ok(client.state === 'refused' || client.state === 'connecting');
  });

  it('comes back after 4401, N times, with the same token', async () => {
    const server = await serve({
      connection: (peer, nth) => {
        peer.hello();
        if (nth <= 3) peer.close(4401);
      },
    });
    const client = connect(server, { tokenBackoff: QUICK });
    const refusals = refusalsOf(client);
    await until('it stays', () => server.upgrades === 4 && client.state === 'open');
    assert.deepEqual(
      refusals.map(({ code, status }) => [code, status]),
      [
        [4401, null],
        [4401, null],
        [4401, null],
      ],
    );
  });

  it('uses another token at once, whether it is brought or asked for', async () => {
    const server = await serve({
      upgrade: ({ headers }) => (headers.authorization === 'Bearer good' ? undefined : 401),
    });
    const brought = connect(server, { token: 'bad', tokenBackoff: LONG });
    const refusals = refusalsOf(brought);
    await until('refused', () => brought.state === 'refused');
    assert.ok((refusals[0]?.retryInMs ?? 0) > 60_000);
    brought.renewToken('bad');
    assert.equal(brought.state, 'refused');
    brought.renewToken('good');
    await until('open', () => brought.state === 'open');

    const tokens = ['bad', 'bad', 'bad', 'good'];
    const { upgrades } = server;
    const asked = connect(server, { getToken: () => tokens.shift() ?? 'none', tokenBackoff: LONG });
    await until('open', () => asked.state === 'open');
    assert.equal(server.upgrades - upgrades, 2, 'the refused token was tried before its time');

    const deaf = connect(server, { getToken: () => 'bad', tokenBackoff: LONG });
    await until('refused', () => deaf.state === 'refused');
    deaf.renewToken('good');
    await until('open', () => deaf.state === 'open');
  });

  it('tries what getToken gives again and again, at the pace of its pauses', async () => {
    const server = await serve({ upgrade: (_, nth) => (nth <= 3 ? 401 : undefined) });
    const client = connect(server, { getToken: () => 'same', tokenBackoff: QUICK });
    await until('open', () => client.state === 'open');
    assert.equal(server.upgrades, 4);

    let asked = 0;
    const refuser = await serve({ upgrade: () => 401 });
    const getToken = (): string => {
      asked++;
      return 'same';
    };
    const patient = connect(refuser, { getToken, backoff: { baseMs: 50, maxMs: 50 }, tokenBackoff: LONG });
    const refusals = refusalsOf(patient);
    await until('it has asked 10 times', () => asked >= 10);
    assert.deepEqual([refuser.upgrades, refusals.length], [1, 1]);
  });

  it('slows down where each token is another, and all are refused', async () => {
    let asked = 0;
    const server = await serve({ upgrade: () => 401 });
    const client = connect(server, { getToken: () => `token-${asked++}`, tokenBackoff: LONG });
    const closes = closesOf(client);
    await until('20 refusals', () => closes.length >= 20, 30_000);
    assert.ok(closes.every(({ reconnectInMs }) => reconnectInMs !== null && reconnectInMs <= QUICK.maxMs));
  });

  it('tells of 4403, which is for good', async () => {
    const server = await serve();
    const client = connect(server);
    const refusals = refusalsOf(client);
    await until('open', () => client.state === 'open');
    server.last.close(4403);
    await until('the refusal', () => refusals.length === 1);
    assert.deepEqual([refusals[0]?.code, refusals[0]?.retryInMs, client.state], [4403, null, 'closed']);
  });
});

describe('DriverClient, whose connection cannot be made', () => {
  const answers: [answer: number | TestRefusal, code: number, reason: string][] = [
    [problem(404, 'not_found'), 1006, 'HTTP 404 not_found: as I say'],
    [problem(400, 'bad_request'), 1006, 'HTTP 400 bad_request: as I say'],
    [problem(503, 'key_unknown'), 1013, 'HTTP 503 key_unknown: as I say'],
    [problem(429, 'too_often'), 1013, 'HTTP 429 too_often: as I say'],
    [{ status: 502, body: '<html>Bad gateway</html>' }, 1006, 'HTTP 502 No'],
    [{ status: 301, headers: { location: 'https://elsewhere/' } }, 1006, 'HTTP 301 https://elsewhere/'],
    [{ status: 200, body: 'x'.repeat(1e6) }, 1006, 'HTTP 200 No'],
    [426, 1006, 'HTTP 426 No'],
    [500, 1006, 'HTTP 500 No'],
  ];
  it('says what HTTP answered, and comes back', async () => {
    for (const [answer, code, reason] of answers) {
      const server = await serve({ upgrade: (_, nth) => (nth === 1 ? answer : undefined) });
      const client = connect(server);
      const closes = closesOf(client);
      await until(`open after ${reason}`, () => client.state === 'open');
      const status = typeof answer === 'number' ? answer : answer.status;
      assert.deepEqual(closes, [{ code, reason, status, reconnectInMs: closes[0]?.reconnectInMs }]);
      assert.ok((closes[0]?.reconnectInMs ?? Number.NaN) <= QUICK.maxMs);
    }
  });

  it('waits at least as long as Retry-After asks, and a random time longer', async () => {
    for (const status of [429, 503, 401]) {
      const server = await serve({ upgrade: () => problem(status, 'later', { 'retry-after': '7' }) });
      const closes = [1, 2, 3].map(() => closesOf(connect(server, { tokenBackoff: QUICK })));
      await until('each is refused', () => closes.every(({ length }) => length === 1));
      const waits = closes.map(([close]) => close?.reconnectInMs ?? 0);
      assert.ok(
        waits.every((ms) => ms >= 7000 && ms <= 7000 + QUICK.maxMs),
        `${status}: ${waits}`,
      );
      assert.equal(new Set(waits).size, 3);
    }
  });

  it('comes back when Retry-After is over', async () => {
    const server = await serve({
      upgrade: (_, nth) => (nth <= 2 ? problem(429, 'too_often', { 'retry-after': '1' }) : undefined),
    });
    const startedAtMs = performance.now();
    const client = connect(server);
    await until('open', () => client.state === 'open');
    assert.ok(performance.now() - startedAtMs >= 2000);
    assert.equal(server.upgrades, 3);
  });

  it('an answer whose body never ends is heard too', async () => {
    const server = await rawServer((socket) => {
      socket.write('HTTP/1.1 401 No\r\ncontent-length: 100\r\n\r\n{"code":');
    });
    const client = connect(server, { tokenBackoff: LONG });
    const refusals = refusalsOf(client);
    await until('the refusal', () => refusals.length === 1);
    assert.equal(refusals[0]?.reason, 'HTTP 401 No');
    server.stop();
  });

  it('says why, where nobody there speaks HTTP, TLS or at all', async () => {
    const garbage = await rawServer((socket) => socket.end('SSH-2.0-OpenSSH_9.6\r\n'));
    const hangUp = await rawServer((socket) => socket.destroy());
    const silent = await rawServer(() => {});
    const gone = await rawServer(() => {});
    gone.stop();
    const { port } = new URL(gone.url);
    const addresses: [url: string, reason: RegExp][] = [
      [garbage.url, /Parse Error/],
      [hangUp.url, /socket hang up|ECONNRESET/],
      [garbage.url.replace('ws:', 'wss:'), /SSL|TLS|wrong version|packet length/i],
      [gone.url, /ECONNREFUSED/],
      [`ws://localhost:${port}`, /ECONNREFUSED/], // of which there may be two addresses
      ['ws://nowhere.invalid', /./],
      [silent.url, /no answer/],
    ];
    await Promise.all(
      addresses.map(async ([url, reason]) => {
        const client = connect({ url });
        const closes = closesOf(client);
        await until(`${url} fails`, () => closes.length >= 1, 30_000);
        assert.match(closes[0]?.reason ?? '', reason, url);
        assert.deepEqual([closes[0]?.code, closes[0]?.status], [1006, null]);
        assert.notEqual(closes[0]?.reconnectInMs, null);
      }),
    );
    for (const server of [garbage, hangUp, silent]) server.stop();
  });

  it('tells of every failure also where, as in browsers, its reason cannot be seen', async () => {
    class Blind extends WebSocket {
      override emit(event: string | symbol, ...args: unknown[]): boolean {
        return event === 'error' ? super.emit('error', new Error('')) : super.emit(event, ...args);
      }
    }
    const server = await serve({ upgrade: (_, nth) => (nth <= 3 ? 401 : undefined) });
    const client = connect(server, { WebSocket: Blind });
    const closes = closesOf(client);
    await until('open', () => client.state === 'open');
    const { reconnectInMs, ...first } = closes[0] ?? { reconnectInMs: null };
    assert.deepEqual(first, { code: 1006, reason: 'the connection could not be made', status: null });
    assert.notEqual(reconnectInMs, null);
    assert.equal(closes.length, 3);
  });

  it('says by a code what met an attempt at several addresses, which has no message', async () => {
    class SeveralAddresses extends WebSocket {
      override emit(event: string | symbol, ...args: unknown[]): boolean {
        if (event !== 'error') return super.emit(event, ...args);
        return super.emit('error', Object.assign(new AggregateError([]), { code: 'ECONNREFUSED' }));
      }
    }
    const client = connect(await serve({ upgrade: () => 500 }), { WebSocket: SeveralAddresses });
    const closes = closesOf(client);
    await until('it fails', () => closes.length > 0);
    assert.equal(closes[0]?.reason, 'ECONNREFUSED');
  });

  it("reads the status out of what a given WebSocket says, if it is made like Node's", async () => {
    const server = await serve({ upgrade: (_, nth) => (nth <= 1 ? 401 : undefined) });
    const client = connect(server, { WebSocket, tokenBackoff: QUICK });
    const refusals = refusalsOf(client);
    await until('open', () => client.state === 'open');
    assert.deepEqual([refusals[0]?.status, refusals[0]?.reason], [401, 'HTTP 401']);
  });

  it('refuses an address that no WebSocket has', () => {
    for (const url of ['ftp://host', 'mailto:driver', 'host:8080', ''])
      assert.throws(() => new DriverClient({ url, token: 'a' }), TypeError, url);
  });

  it('takes the address of a page for that of its WebSocket', async () => {
    const server = await serve();
    const client = connect({ url: `${server.url.replace('ws:', 'http:')}#top` });
    await until('open', () => client.state === 'open');
  });
});

async function rawServer(talk: (socket: Socket) => void): Promise<{ url: string; stop(): void }> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.once('data', () => talk(socket));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `ws://127.0.0.1:${(server.address() as AddressInfo).port}`,
    stop() {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}

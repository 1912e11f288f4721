// The Python client, which was written from PROTOCOL.md alone: before a real ingest that is killed, and before a server
// that answers as the page says servers may.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, test } from 'node:test';
import type { NackMessage, ServerMessage } from '@whereabouts/client/protocol';
import { waitFor } from '@whereabouts/infra/local/server-process';
import { pythonWith, skipWithout } from '@whereabouts/infra/local/testing/python';
import { type WebSocket, WebSocketServer } from 'ws';
import { tokenFor, until } from './testing/edge-under-test.js';
import { type Ground, IngestProcess, startGround } from './testing/ingest-process.js';
import { newestOf } from './testing/log-reader.js';
import { PythonDriver } from './testing/python-driver.js';

const DEADLINE_MS = 30_000;

const python = (await pythonWith('websockets')) as string;
const skip = skipWithout(python, 'websockets', 'THE PYTHON CLIENT IS');

let undo: (() => unknown)[] = [];
afterEach(async () => {
  for (const step of undo.reverse()) await step();
  undo = [];
});

function drive(url: string, ...tokens: string[]): PythonDriver {
  const driver = new PythonDriver(python, url, ...tokens);
  undo.push(() => driver.kill());
  return driver;
}

test('Python: what it reports is stored, also after ingest was killed', { skip }, async () => {
  const ground: Ground = await startGround();
  undo.push(() => ground.stop());
  const ingest = await IngestProcess.start(ground);
  undo.push(() => ingest.kill());
  const driver = drive(ingest.url.replace('/v1/stream', ''), await tokenFor('pythonist'));
  driver.report(13.4);
  await driver.hears('ack');
  ingest.kill();
  assert.notEqual((await driver.hears('close')).reconnect_in_s, null);
  driver.report(13.41);
  const again = IngestProcess.onPort(ground, ingest.port, {});
  undo.push(() => again.kill());
  await driver.hears('open', 2);
  await driver.hears('ack', 2);
  const stored = async (lon: number) =>
    (await newestOf(ground.store, ground.map.partitionOf(52.52, lon))).get('pythonist');
  assert.deepEqual([(await stored(13.41))?.lonE7, (await stored(13.41))?.status], [134_100_000, 'busy']);
  await driver.leaves();
  await waitFor(
    'the driver is offline',
    DEADLINE_MS,
    async () => (await stored(13.41))?.status === 'offline' || undefined,
  );
});

interface FromClient {
  type: string;
  seq: number;
  recorded_at_ms: number;
  lon: number;
  checkpoint?: boolean;
  token?: string;
}

/** One connection after the other, each with what came over it. */
class ScriptedServer {
  readonly url: string;
  readonly requests: IncomingMessage[] = [];
  readonly received: FromClient[][] = [];
  #socket: WebSocket | undefined;

  private constructor(server: WebSocketServer) {
    this.url = `ws://127.0.0.1:${(server.address() as AddressInfo).port}`;
    server.on('connection', (socket, request) => {
      const received: FromClient[] = [];
      this.received.push(received);
      this.requests.push(request);
      this.#socket = socket;
      socket.on('message', (data) => received.push(JSON.parse(data.toString())));
      this.send({
        type: 'hello',
        session: 1,
        server_time_ms: 1_000_000,
        limits: LIMITS,
        durability: 'cache',
      });
    });
  }

  static async start(): Promise<ScriptedServer> {
    const server = new WebSocketServer({ host: '127.0.0.1', port: 0 });
    undo.push(() => {
      for (const client of server.clients) client.terminate();
      server.close();
    });
    await once(server, 'listening');
    return new ScriptedServer(server);
  }

  send(message: ServerMessage): void {
    this.#socket?.send(JSON.stringify(message));
  }

  close(code: number): void {
    this.#socket?.close(code);
  }

  /** The nth message of a connection, counted from 1 as that is. */
  async gets(connection: number, nth: number): Promise<FromClient> {
    const got = () => this.received[connection - 1]?.[nth - 1];
    await until(`message ${nth} of connection ${connection}`, () => got() !== undefined, 30_000);
    return got() as FromClient;
  }
}

const LIMITS = {
  report_interval_ms: 50,
  max_reports_per_s: 100,
  burst: 100,
  max_message_bytes: 4096,
  max_positions: 100,
  freshness_ms: 60_000,
  max_clock_ahead_ms: 5000,
  max_waiting_checkpoints: 2,
};
const nack = (seq: number | null, code: string, more: Partial<NackMessage> = {}): NackMessage => ({
  ...{ type: 'nack', seq, code, retryable: false, retry_after_ms: 20, detail: code, ...more },
});
const TOKEN = 'a.b.c';

test('Python: retryable nacks bring the same message again, others none', { skip }, async () => {
  const server = await ScriptedServer.start();
  const driver = drive(server.url, TOKEN);
  driver.report(1);
  const first = await server.gets(1, 1);
  assert.equal(server.requests[0]?.headers.authorization, `Bearer ${TOKEN}`);
  assert.equal(server.requests[0]?.url, '/v1/stream?ack=each');
  server.send(nack(first.seq, 'region_unavailable', { retryable: true }));
  assert.deepEqual(await server.gets(1, 2), first);
  server.send(nack(first.seq, 'bad_position'));
  await driver.hears('nack', 2);
  driver.report(2);
  const next = await server.gets(1, 3);
  assert.equal(next.lon, 2);
  assert.ok(next.seq > first.seq && next.recorded_at_ms > first.recorded_at_ms);
});

test('Python: checkpoints come again over connections, until persisted or refused', { skip }, async () => {
  const server = await ScriptedServer.start();
  const driver = drive(server.url, TOKEN);
  await driver.hears('open');
  driver.checkpoint('one');
  driver.checkpoint('two');
  driver.checkpoint('three');
  assert.deepEqual(await driver.hears('rejected'), {
    ...{ event: 'rejected', id: 'three', code: 'too_many_checkpoints' },
  });
  const [one, two] = [await server.gets(1, 1), await server.gets(1, 2)];
  server.send(nack(two.seq, 'too_fast'));
  const again = await server.gets(1, 3);
  assert.deepEqual([again.recorded_at_ms, again.seq], [two.recorded_at_ms, two.seq + 1]);
  server.send({ type: 'persisted', seq: again.seq });
  assert.equal((await driver.hears('resolved')).id, 'two');
  server.close(1012);
  const overAgain = await server.gets(2, 1);
  assert.deepEqual([overAgain.recorded_at_ms, overAgain.seq], [one.recorded_at_ms, 1]);
  server.send({ type: 'ack', seq: 1 });
  server.send(nack(1, 'checkpoint_conflict'));
  assert.deepEqual(await driver.hears('rejected', 2), {
    ...{ event: 'rejected', id: 'one', code: 'checkpoint_conflict' },
  });
  driver.checkpoint('late', 0.2);
  assert.equal((await driver.hears('rejected', 3)).code, 'deadline');
});

test('Python: a wrong clock is learnt anew, a refused token is replaced, a newer connection wins', {
  skip,
}, async () => {
  const server = await ScriptedServer.start();
  const driver = drive(server.url, TOKEN, 'd.e.f', 'g.h.i');
  driver.report(1);
  server.send(nack((await server.gets(1, 1)).seq, 'clock_ahead'));
  await driver.hears('open', 2);
  driver.report(2);
  await server.gets(2, 1);
  server.send({ type: 'ack', seq: 1 });
  await driver.hears('ack');
  server.close(4401);
  await driver.hears('refused');
  // What was acknowledged goes out again, as the same report.
  assert.deepEqual((await server.gets(3, 1)).recorded_at_ms, (await server.gets(2, 1)).recorded_at_ms);
  assert.equal(server.requests[2]?.headers.authorization, 'Bearer g.h.i');
  server.close(4409);
  assert.equal((await driver.hears('close', 3)).reconnect_in_s, null);
});

test('Python: it brings a fresh token before the old one ends, and again where that was refused', {
  skip,
}, async () => {
  const server = await ScriptedServer.start();
  const endsIn = (s: number) => {
    const claims = Buffer.from(JSON.stringify({ exp: 1_000 + s })).toString('base64url');
    return `a.${claims}.c`;
  };
  drive(server.url, endsIn(1), endsIn(2), endsIn(600));
  assert.deepEqual(await server.gets(1, 1), { type: 'token', token: endsIn(2) });
  server.send(nack(null, 'not_ready', { retryable: true }));
  assert.deepEqual(await server.gets(1, 2), { type: 'token', token: endsIn(600) });
});

// A WebSocket client for tests, bare enough to misbehave.
import assert from 'node:assert/strict';
import { decodeServerMessage, encodeClientMessage } from '@whereabouts/client/frame';
import type { ClientMessage, PositionReport, ServerMessage } from '@whereabouts/client/protocol';
import { WebSocket } from 'ws';
import { tokenFor, until } from './edge-under-test.js';

export interface TestDriverOptions {
  binary?: boolean;
  query?: string;
  /** Else one for the driver's id. */
  token?: string;
  autoPong?: boolean;
}

type Of<T extends ServerMessage['type']> = Extract<ServerMessage, { type: T }>;

export class TestDriver {
  readonly messages: ServerMessage[] = [];
  readonly ws: WebSocket;
  closeCode: number | null = null;
  closeReason = '';
  pings = 0;
  readonly #binary: boolean;

  private constructor(url: string, token: string, options: TestDriverOptions) {
    this.#binary = options.binary ?? false;
    const subprotocol = this.#binary ? 'whereabouts.v1.bin' : 'whereabouts.v1.json';
    this.ws = new WebSocket(url + (options.query ?? ''), [subprotocol], {
      headers: { authorization: `Bearer ${token}` },
      autoPong: options.autoPong ?? true,
      perMessageDeflate: false,
    });
    this.ws.on('message', (data: Buffer, isBinary) => {
      assert.equal(isBinary, this.#binary);
      this.messages.push(isBinary ? decodeServerMessage(data) : JSON.parse(data.toString()));
    });
    this.ws.on('ping', () => this.pings++);
    this.ws.on('error', () => {});
    this.ws.on('close', (code, reason) => {
      this.closeCode = code;
      this.closeReason = reason.toString();
    });
  }

  /** Resolves when hello has come. */
  static async connect(url: string, driverId: string, options: TestDriverOptions = {}): Promise<TestDriver> {
    const driver = new TestDriver(url, options.token ?? (await tokenFor(driverId)), options);
    await driver.next('hello');
    return driver;
  }

  send(message: ClientMessage<PositionReport>): void {
    if (this.#binary) this.ws.send(encodeClientMessage(message));
    else this.ws.send(JSON.stringify(message));
  }

  report(seq: number, recordedAtMs: number, more: Partial<PositionReport> = {}): void {
    this.send({
      type: 'position',
      seq,
      recorded_at_ms: Math.floor(recordedAtMs),
      lat: 52.5,
      lon: 13.4,
      ...more,
    });
  }

  sendText(text: string): void {
    this.ws.send(text);
  }

  of<T extends ServerMessage['type']>(type: T): Of<T>[] {
    return this.messages.filter((message): message is Of<T> => message.type === type);
  }

  /** The n-th message of that type, from 1 on. */
  async next<T extends ServerMessage['type']>(type: T, n = 1): Promise<Of<T>> {
    await until(`${type} number ${n}`, () => this.of(type).length >= n || this.closeCode !== null);
    const message = this.of(type)[n - 1];
    assert.ok(message, `closed with ${this.closeCode} before ${type} number ${n}`);
    return message;
  }

  async nack(code: string, seq: number | null): Promise<Of<'nack'>> {
    const find = () => this.of('nack').find((nack) => nack.code === code && nack.seq === seq);
    await until(
      `nack ${code} for ${seq}, not ${JSON.stringify(this.messages.slice(-5))}`,
      () => find() !== undefined,
    );
    const nack = find() as Of<'nack'>;
    assert.notEqual(nack.detail, '');
    return nack;
  }

  async closedWith(code: number): Promise<void> {
    await until(`close with ${code}`, () => this.closeCode !== null);
    assert.equal(this.closeCode, code, this.closeReason);
  }

  /** What was sent before this has been answered when it resolves, or the connection has been closed. */
  async settled(): Promise<void> {
    let isBack = false;
    this.ws.once('pong', () => {
      isBack = true;
    });
    this.ws.ping();
    await until('the pong has come back', () => isBack || this.closeCode !== null);
  }
}

/** The status, headers and body of an upgrade that was refused. */
export function refusedUpgrade(
  url: string,
  options: { token?: string; subprotocols?: string[]; headers?: Record<string, string> } = {},
): Promise<{ status: number; headers: Record<string, unknown>; body: Record<string, unknown> }> {
  return new Promise((resolve, reject) => {
    const headers = {
      ...(options.token ? { authorization: `Bearer ${options.token}` } : {}),
      ...options.headers,
    };
    const ws = new WebSocket(url, options.subprotocols ?? [], { headers });
    ws.on('open', () => {
      ws.terminate();
      reject(new Error('the upgrade was not refused'));
    });
    ws.on('error', reject);
    ws.on('unexpected-response', (_request, response) => {
      let text = '';
      response.on('data', (chunk: Buffer) => {
        text += chunk.toString();
      });
      response.on('end', () => {
        resolve({ status: response.statusCode ?? 0, headers: response.headers, body: JSON.parse(text) });
      });
    });
  });
}

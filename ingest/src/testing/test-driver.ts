// A driver for tests: it remembers all that it hears, and waits for what has to come.
import assert from 'node:assert/strict';
import type { ClientMessage, PositionReport, ServerMessage } from '@whereabouts/client/protocol';
import { ScriptedDriver } from '@whereabouts/client/scripted-driver';
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
  pings = 0;
  readonly #driver: ScriptedDriver;

  private constructor(url: string, token: string, { query = '', binary, autoPong }: TestDriverOptions) {
    this.#driver = new ScriptedDriver(
      { url: url + query, token, binary, autoPong },
      { message: (message) => this.messages.push(message), ping: () => this.pings++ },
    );
  }

  /** Resolves when hello has come. */
  static async connect(url: string, driverId: string, options: TestDriverOptions = {}): Promise<TestDriver> {
    const driver = new TestDriver(url, options.token ?? (await tokenFor(driverId)), options);
    await driver.next('hello');
    return driver;
  }

  get ws(): WebSocket {
    return this.#driver.ws;
  }

  get closeCode(): number | null {
    return this.#driver.closeCode;
  }

  get closeReason(): string {
    return this.#driver.closeReason;
  }

  send(message: ClientMessage<PositionReport>): void {
    this.#driver.send(message);
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
    this.#driver.sendText(text);
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

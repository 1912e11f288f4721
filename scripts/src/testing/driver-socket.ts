// A driver's client as a stranger would write it from PROTOCOL.md: a plain WebSocket, JSON, and a book of what
// became of each report.
//
//   sent ──ack n──▶ acknowledged   (with every earlier one that was not nacked)
//     └───nack────▶ refused with that code
import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { HelloMessage, NackMessage, PositionReport, ServerMessage } from '@whereabouts/client/protocol';
import { waitFor } from '@whereabouts/infra/dev/server-process';
import { WebSocket } from 'ws';

const HELLO_DEADLINE_MS = 20_000;

export type Unnumbered = Omit<PositionReport, 'seq'>;

export interface Acknowledged {
  driverId: string;
  session: number;
  report: PositionReport;
}

export interface DriverSocketOptions {
  url: string;
  driverId: string;
  token: string;
  acknowledged?: (report: Acknowledged) => void;
}

export class DriverSocket {
  readonly driverId: string;
  readonly nacks: NackMessage[] = [];
  readonly persisted: number[] = [];
  closeCode: number | null = null;
  ackedSeq = 0;
  onPersisted: (seq: number) => void = () => {};
  readonly #ws: WebSocket;
  readonly #acknowledged: (report: Acknowledged) => void;
  /** In the order of their seq. */
  #open: PositionReport[] = [];
  #hello: HelloMessage | null = null;
  #seq = 0;
  #closing = false;

  private constructor({ url, driverId, token, acknowledged = () => {} }: DriverSocketOptions) {
    this.driverId = driverId;
    this.#acknowledged = acknowledged;
    this.#ws = new WebSocket(`${url}/v1/stream`, ['whereabouts.v1.json'], {
      headers: { authorization: `Bearer ${token}` },
      perMessageDeflate: false,
    });
    this.#ws.on('message', (data) => this.#take(JSON.parse(data.toString()) as ServerMessage));
    // What is wrong shows in the close that follows.
    this.#ws.on('error', (error) => console.log(`${driverId}: ${error.message}`));
    this.#ws.on('close', (code) => {
      this.closeCode = code;
      if (!this.#closing) console.log(`${driverId}: closed with ${code}`);
    });
  }

  static async connect(options: DriverSocketOptions): Promise<DriverSocket> {
    const driver = new DriverSocket(options);
    await waitFor(`${options.driverId} hears hello`, HELLO_DEADLINE_MS, () => {
      // Nothing to wait for: the deadline would only hide the reason.
      if (driver.closeCode !== null) return true;
      return driver.#hello !== null || undefined;
    });
    assert.equal(driver.closeCode, null, `${options.driverId}: closed before its hello`);
    return driver;
  }

  get hello(): HelloMessage {
    assert.ok(this.#hello);
    return this.#hello;
  }

  /** Reports that nothing was heard of yet. */
  get unsettled(): readonly PositionReport[] {
    return this.#open;
  }

  get lastSeq(): number {
    return this.#seq;
  }

  send(report: Unnumbered): number {
    return this.#put({ seq: ++this.#seq, ...report });
  }

  /** The very same message once more. */
  sendAgain(report: PositionReport): void {
    this.#write({ type: 'position', ...report });
  }

  /** Whatever it is: for what no client should send. */
  sendRaw(fields: Record<string, unknown>): number {
    return this.#put({ seq: ++this.#seq, ...fields } as unknown as PositionReport);
  }

  nackOf(seq: number): NackMessage | undefined {
    return this.nacks.find((nack) => nack.seq === seq);
  }

  async close(): Promise<void> {
    this.#closing = true;
    if (this.closeCode !== null) return;
    this.#ws.close(1000);
    await once(this.#ws, 'close');
  }

  /** Gone without a word, as in a tunnel. */
  async drop(): Promise<void> {
    this.#closing = true;
    if (this.closeCode !== null) return;
    this.#ws.terminate();
    await once(this.#ws, 'close');
  }

  #put(report: PositionReport): number {
    this.#open.push(report);
    this.#write({ type: 'position', ...report });
    return report.seq;
  }

  #write(message: object): void {
    this.#ws.send(JSON.stringify(message));
  }

  #take(message: ServerMessage): void {
    if (message.type === 'hello') this.#hello = message;
    else if (message.type === 'ack') this.#takeAck(message.seq);
    else if (message.type === 'nack') this.#takeNack(message);
    else if (message.type === 'persisted') {
      this.persisted.push(message.seq);
      this.onPersisted(message.seq);
    }
  }

  #takeAck(seq: number): void {
    assert.ok(seq <= this.#seq, `${this.driverId}: acknowledged ${seq}, which was never sent`);
    this.ackedSeq = Math.max(this.ackedSeq, seq);
    while (this.#open[0] !== undefined && this.#open[0].seq <= seq) {
      const report = this.#open.shift() as PositionReport;
      this.#acknowledged({ driverId: this.driverId, session: this.hello.session, report });
    }
  }

  #takeNack(nack: NackMessage): void {
    this.nacks.push(nack);
    const { seq: last, retryable } = nack;
    this.#open = this.#open.filter(
      ({ seq, checkpoint }) => seq !== last && !(retryable && last !== null && seq < last && !checkpoint),
    );
  }
}

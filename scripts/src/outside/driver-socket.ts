// A driver on one connection, with a record of the outcome of each report.
//
//   sent ──ack n──▶ acknowledged   (with every earlier one that was not nacked)
//     └───nack n──▶ refused        (n alone; with a retryable code all from the last ack up to n, checkpoints excepted)
import type {
  Durability,
  HelloMessage,
  NackMessage,
  PositionReport,
  ServerMessage,
} from '@whereabouts/client/protocol';
import { ScriptedDriver } from '@whereabouts/client/scripted-driver';
import { waitFor } from '@whereabouts/infra/local/server-process';

const HELLO_DEADLINE_MS = 20_000;
const HANDSHAKE_TIMEOUT_MS = 15_000;

export type Unnumbered = Omit<PositionReport, 'seq'>;

export interface Sent {
  /** performance.now() */
  sentAtMs: number;
  report: PositionReport;
}

export interface Acknowledged extends Sent {
  driverId: string;
  session: number;
  durability: Durability;
}

export interface DriverListener {
  hello?(hello: HelloMessage): void;
  acknowledged?(report: Acknowledged): void;
  nacked?(nack: NackMessage): void;
  persisted?(seq: number): void;
  /** `expected`: it was closed or dropped here. */
  closed?(code: number, expected: boolean): void;
}

export interface DriverSocketOptions extends DriverListener {
  url: string;
  driverId: string;
  token: string;
  handshakeTimeoutMs?: number;
}

export class DriverSocket {
  readonly driverId: string;
  readonly nacks: NackMessage[] = [];
  readonly persisted: number[] = [];
  ackedSeq = 0;
  onPersisted: (seq: number) => void;
  readonly #driver: ScriptedDriver;
  readonly #listener: DriverListener;
  /** Reports without an answer so far, in the order of their seq. */
  #open: Sent[] = [];
  #hello: HelloMessage | null = null;
  #seq = 0;
  #closing = false;

  /** It connects; `hello` is still to come. */
  constructor({ url, driverId, token, handshakeTimeoutMs, ...listener }: DriverSocketOptions) {
    this.driverId = driverId;
    this.#listener = listener;
    this.onPersisted = listener.persisted ?? (() => {});
    this.#driver = new ScriptedDriver(
      {
        url: `${url}/v1/stream`,
        token,
        handshakeTimeoutMs: handshakeTimeoutMs ?? HANDSHAKE_TIMEOUT_MS,
      },
      {
        message: (message) => this.#take(message),
        closed: (code) => listener.closed?.(code, this.#closing),
      },
    );
  }

  /** Resolves with `hello`. */
  static async connect(options: DriverSocketOptions): Promise<DriverSocket> {
    const driver = new DriverSocket(options);
    await waitFor(`${options.driverId} receives hello`, HELLO_DEADLINE_MS, () => {
      // Nothing to wait for: the deadline would only hide the reason.
      if (driver.closeCode !== null) return true;
      return driver.#hello !== null || undefined;
    });
    if (driver.closeCode !== null) {
      throw new Error(`${options.driverId}: closed with ${driver.closeCode} before its hello`);
    }
    return driver;
  }

  get closeCode(): number | null {
    return this.#driver.closeCode;
  }

  get isOpen(): boolean {
    return this.#hello !== null && this.closeCode === null && !this.#closing;
  }

  get hello(): HelloMessage {
    if (this.#hello === null) throw new Error(`${this.driverId} has received no hello`);
    return this.#hello;
  }

  /** Reports without an answer so far. */
  get unsettled(): readonly Sent[] {
    return this.#open;
  }

  get lastSeq(): number {
    return this.#seq;
  }

  send(report: Unnumbered): number {
    return this.#put({ seq: ++this.#seq, ...report });
  }

  /** Exactly the same message once more. */
  sendAgain(report: PositionReport): void {
    this.#driver.send({ type: 'position', ...report });
  }

  /** Sends anything, even what no client should send. */
  sendRaw(fields: Record<string, unknown>): number {
    return this.#put({ seq: ++this.#seq, ...fields } as unknown as PositionReport);
  }

  nackOf(seq: number): NackMessage | undefined {
    return this.nacks.find((nack) => nack.seq === seq);
  }

  async close(): Promise<void> {
    this.#closing = true;
    await this.#driver.close();
  }

  /** Disappears without a close, as in a tunnel. */
  async drop(): Promise<void> {
    this.#closing = true;
    await this.#driver.drop();
  }

  #put(report: PositionReport): number {
    this.#open.push({ sentAtMs: performance.now(), report });
    this.#driver.send({ type: 'position', ...report });
    return report.seq;
  }

  #take(message: ServerMessage): void {
    if (message.type === 'hello') {
      this.#hello = message;
      this.#listener.hello?.(message);
    } else if (message.type === 'ack') this.#takeAck(message.seq, message.durability);
    else if (message.type === 'nack') this.#takeNack(message);
    else if (message.type === 'persisted') {
      this.persisted.push(message.seq);
      this.onPersisted(message.seq);
    }
  }

  #takeAck(seq: number, durability = this.hello.durability): void {
    if (seq > this.#seq) throw new Error(`${this.driverId}: acknowledged ${seq}, which was never sent`);
    this.ackedSeq = Math.max(this.ackedSeq, seq);
    const { driverId } = this;
    const { session } = this.hello;
    while (this.#open[0] !== undefined && this.#open[0].report.seq <= seq) {
      const sent = this.#open.shift() as Sent;
      this.#listener.acknowledged?.({ ...sent, driverId, session, durability });
    }
  }

  #takeNack(nack: NackMessage): void {
    this.nacks.push(nack);
    const { seq: last, retryable } = nack;
    this.#open = this.#open.filter(
      ({ report: { seq, checkpoint } }) =>
        seq !== last && !(retryable && last !== null && seq < last && !checkpoint),
    );
    this.#listener.nacked?.(nack);
  }
}

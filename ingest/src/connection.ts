// One driver's connection: what it may send now, what it has been told, when it ends.
//
//   open ──bye──▶ leaving ──▶ closed
//     └────────────────────────▲
//
// It lives from the WebSocket's open to its close and never touches the socket outside of that. It has no
// timers: `check` is called about once a second. Memory counts, as there is one for each driver.
import {
  CLOSE_CODES,
  type ClientMessage,
  type Durability,
  MAX_MESSAGE_BYTES,
  type NackCode,
  ProtocolError,
  RETRYABLE,
} from '@whereabouts/client/protocol';
import { TokenError } from '@whereabouts/infra/service/tokens';
import { AckLedger } from './ack-ledger.js';
import { Answers, type Socket } from './answers.js';
import type { ClaimingConnection } from './claiming-connection.js';
import type { Conduct } from './conduct.js';
import type { Dialect } from './dialect.js';
import type { Departure } from './drivers.js';
import type { AckSource, Edge } from './edge.js';
import { helloMessage } from './hello.js';
import { Reports, type Sender } from './reports.js';

export interface ConnectionStart {
  driverId: string;
  sparseAcks: boolean;
  dialect: Dialect;
  tokenExpiresAtMs: number;
  /** Of the driver, over all of its connections. */
  conduct: Conduct;
}

type State = 'open' | 'leaving' | 'closed';

const MAY_FOLLOW: Record<State, readonly State[]> = {
  open: ['leaving', 'closed'],
  leaving: ['closed'],
  closed: [],
};
/** 100 positions with every field do not fit into MAX_MESSAGE_BYTES as JSON. */
export const MAX_BATCH_BYTES = 24 * 1024;
/** Larger text messages of a driver who goes on being too fast are refused unread. */
const READ_ALWAYS_BYTES = 1024;
const SILENCE_LIMIT_MS = 30_000;
const PING_AFTER_MS = 12_000;
const LEAVING_DEADLINE_MS = 5000;

export class Connection implements Sender, AckSource, ClaimingConnection {
  readonly driverId: string;
  readonly connectionId: string;
  readonly generation: number;
  readonly slot: number;
  #session: number;
  readonly #edge: Edge;
  readonly #dialect: Dialect;
  readonly #answers: Answers;
  readonly #ledger: AckLedger;
  readonly #reports: Reports;
  readonly #conduct: Conduct;
  #state: State = 'open';
  #tokenExpiresAtMs: number;
  #isRenewing = false;
  #heardAtMs: number;
  #pingedAtMs: number;
  #isSettling = false;
  #leavingSinceMs = 0;
  /** The recorded-at of the offline record that a bye makes, which has no seq of the client's. */
  #farewellTimeMs = 0;

  constructor(edge: Edge, socket: Socket, start: ConnectionStart) {
    const { drivers } = edge;
    const nowMs = edge.clock.monotonicMs();
    this.driverId = start.driverId;
    this.connectionId = edge.claims.newConnectionId();
    this.generation = drivers.newGeneration();
    this.slot = drivers.slotOf(start.driverId, nowMs);
    this.#session = drivers.hasReported(this.slot) ? (drivers.sessions[this.slot] as number) : 0;
    this.#edge = edge;
    this.#dialect = start.dialect;
    this.#conduct = start.conduct;
    this.#ledger = new AckLedger(start.sparseAcks);
    this.#answers = new Answers(edge, socket, start.dialect, this.#ledger, start.conduct);
    this.#reports = new Reports(edge, this, this.#ledger, this.#answers, start.conduct);
    this.#tokenExpiresAtMs = start.tokenExpiresAtMs;
    this.#heardAtMs = nowMs;
    this.#pingedAtMs = nowMs;
  }

  /** It speaks for its driver from now on. */
  begin(): void {
    this.#session = this.#edge.claims.open(this);
    this.#edge.drivers.origins[this.slot] = this;
    this.#answers.send(helloMessage(this.#edge, this.#session));
  }

  /** Under which its reports are recorded. */
  get session(): number {
    return this.#session;
  }

  get hasReported(): boolean {
    return this.#reports.lastSeq > 0;
  }

  get isLeaving(): boolean {
    return this.#state === 'leaving';
  }

  get departure(): Departure {
    return { generation: this.generation, session: this.#session, seq: this.#reports.lastSeq + 1 };
  }

  // ---- its session

  claimed(session: number): void {
    this.#session = session;
    this.#edge.counters.renumbered++;
    if (this.#edge.drivers.renumber(this.slot, this)) this.#edge.recorder.submit(this.slot);
  }

  superseded(): void {
    this.close(CLOSE_CODES.superseded, 'a newer connection of this driver');
  }

  // ---- what the client sends

  received(message: ArrayBuffer, isBinary: boolean): void {
    if (this.#state === 'closed' || !this.#answers.mayListen()) return;
    const nowMs = this.#edge.clock.monotonicMs();
    this.#heardAtMs = nowMs;
    this.#edge.counters.bytesIn += message.byteLength;
    if (isBinary && this.#takeInPlace(message, nowMs)) return;
    if (isTooLarge(message, isBinary)) {
      this.close(CLOSE_CODES.tooLarge, `at most ${MAX_MESSAGE_BYTES} bytes`);
      return;
    }
    if (!isBinary && this.#isRefusedUnread(message, nowMs)) return;
    const decoded = this.#decoded(message, isBinary);
    if (decoded !== null) this.#dispatch(decoded, nowMs);
  }

  /** Reading a batch costs more than all else, and of one that comes too fast nearly nothing would be taken. */
  #isRefusedUnread(message: ArrayBuffer, nowMs: number): boolean {
    if (message.byteLength <= READ_ALWAYS_BYTES) return false;
    const at = this.#edge.moment(nowMs);
    if (!this.#conduct.heedsNothing(at) || Buffer.from(message).includes('"checkpoint"')) return false;
    this.#conduct.reports(1, at);
    this.#answers.tooFast(null);
    return true;
  }

  /** uWebSockets.js answers pings by itself. */
  receivedControl(kind: 'ping' | 'pong'): void {
    if (this.#state === 'closed') return;
    const nowMs = this.#edge.clock.monotonicMs();
    this.#heardAtMs = nowMs;
    this.#edge.counters.messages[kind]++;
    if (this.#conduct.control(this.#edge.moment(nowMs))) return;
    if (this.#conduct.isFirstControlRefusal())
      this.#answers.refuse('too_fast', null, `too many ${kind}s`, null);
    else this.#answers.countRefusal('too_fast');
  }

  /** The commonest message. Returns whether that was all that there was to do. */
  #takeInPlace(message: ArrayBuffer, nowMs: number): boolean {
    if (!this.#dialect.binary || this.#state !== 'open' || this.#edge.draining) return false;
    const { report, counters } = this.#edge;
    if (!report.readFrame(message)) return false;
    counters.messages.position++;
    this.#answers.tellPace();
    if (this.#reports.takeUsual(report, nowMs)) this.#settleSoon();
    return true;
  }

  #decoded(message: ArrayBuffer, isBinary: boolean): ClientMessage | null {
    if (isBinary !== this.#dialect.binary) {
      const expected = this.#dialect.binary ? 'expected a binary frame' : 'expected a text message';
      this.#answers.badMessage(null, expected);
      return null;
    }
    try {
      const decoded = this.#dialect.decode(message);
      this.#edge.counters.messages[decoded.type]++;
      return decoded;
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      this.#answers.badMessage(error.seq, error.detail);
      return null;
    }
  }

  #dispatch(message: ClientMessage, nowMs: number): void {
    this.#answers.tellPace();
    if (message.type === 'token') {
      if (this.#conduct.reports(1, this.#edge.moment(nowMs)) === 1) void this.#renew(message.token);
      else this.#answers.tooFast(null);
    } else if (this.#edge.draining) {
      this.#refuseAll(message, 'not_ready', 'this server is stopping: connect again');
    } else if (this.#state === 'leaving') {
      this.#answers.badMessage(seqsOf(message)[0] ?? null, 'nothing may follow a bye');
    } else if (message.type === 'bye') {
      this.#leave(nowMs);
    } else {
      const isRepeated =
        message.type === 'position'
          ? this.#reports.takeOne(message, nowMs)
          : this.#reports.takeSeveral(message.positions, nowMs);
      if (isRepeated) this.#settleSoon();
    }
  }

  async #renew(token: string): Promise<void> {
    if (this.#isRenewing) {
      this.#answers.refuse('too_fast', null, 'another token is being verified');
      return;
    }
    this.#isRenewing = true;
    try {
      const verified = await this.#edge.verify(token);
      if (verified.subject === this.driverId) this.#tokenExpiresAtMs = verified.expiresAtMs;
      else this.close(CLOSE_CODES.forbidden, 'the token is of another driver');
    } catch (error) {
      if (!(error instanceof TokenError)) throw error;
      if (error.code === 'token_scope') this.close(CLOSE_CODES.forbidden, error.message);
      else if (error.retryable) this.#answers.refuse('not_ready', null, error.message);
      else this.#answers.badMessage(null, error.message);
    } finally {
      this.#isRenewing = false;
    }
  }

  #leave(nowMs: number): void {
    const { drivers, clock, recorder } = this.#edge;
    this.#moveTo('leaving');
    this.#leavingSinceMs = nowMs;
    if (!drivers.hasReported(this.slot)) {
      this.close(CLOSE_CODES.normal, 'bye');
      return;
    }
    this.#farewellTimeMs = drivers.putOffline(this.slot, this.departure, clock.storeNowMs(), nowMs);
    recorder.submit(this.slot);
  }

  #refuseAll(message: ClientMessage, code: NackCode, detail: string): void {
    const seqs = seqsOf(message);
    for (const seq of seqs) this.#answers.refuse(code, seq, detail);
    if (seqs.length === 0) this.#answers.refuse(code, null, detail);
  }

  // ---- the outcome of its reports

  accepted(seq: number, recordedAtMs: number, waitedMs: number, durability: Durability): void {
    if (this.#state === 'closed') return;
    const { clock, counters } = this.#edge;
    if (this.#isFarewell(recordedAtMs)) {
      this.#farewellTimeMs = 0;
      this.#ledger.accept(this.#reports.lastSeq, this.#isDegraded(durability));
      this.#ledger.hurry();
    } else {
      this.#ledger.accept(seq, this.#isDegraded(durability));
      if (waitedMs > 0) counters.ackLatency.observe(waitedMs);
    }
    if (this.#state === 'leaving' || this.#ledger.dueSeq(clock.monotonicMs()) !== 0) this.#settleSoon();
  }

  refused(seq: number, recordedAtMs: number, code: NackCode, retryAfterMs: number, detail: string): void {
    // The driver has nothing to send again for a farewell, which stays held.
    if (this.#state === 'closed' || this.#isFarewell(recordedAtMs)) return;
    this.#answers.refuse(code, seq, detail, retryAfterMs);
    this.#ledger.answered(seq);
    this.#reports.refused(seq);
  }

  checkpointKept(seq: number, durability: Durability): void {
    if (this.#state === 'closed') return;
    this.#ledger.acceptCheckpoint(seq, this.#isDegraded(durability));
    this.#settleSoon();
  }

  checkpointRefused(seq: number, code: NackCode, retryAfterMs: number | null, detail: string): void {
    if (this.#state === 'closed') return;
    this.#ledger.refuseCheckpoint(seq, RETRYABLE[code]);
    this.#answers.refuse(code, seq, detail, retryAfterMs);
  }

  checkpointPersisted(seq: number): void {
    if (this.#state === 'closed') return;
    // First the acknowledgement, if one waits for the end of this turn.
    this.settle(this.#edge.clock.monotonicMs());
    this.#edge.counters.persisted++;
    this.#answers.send({ type: 'persisted', seq });
  }

  // ---- what it does by itself

  /** Once a turn of the recorder's answers, and about once a second. */
  settle(nowMs: number): void {
    this.#isSettling = false;
    if (this.#state === 'closed') return;
    this.#answers.acknowledge(nowMs);
    const hasLeft = this.#state === 'leaving' && this.#farewellTimeMs === 0;
    if (hasLeft && this.#ledger.openCheckpoints() === 0) this.close(CLOSE_CODES.normal, 'bye');
  }

  /** `heardByMs`: every message that arrived before this time has been read. */
  check(nowMs: number, heardByMs: number, wallMs: number): void {
    const silentMs = heardByMs - this.#heardAtMs;
    if (this.#tokenExpiresAtMs <= wallMs) this.close(CLOSE_CODES.tokenExpired, 'the token has expired');
    else if (silentMs >= SILENCE_LIMIT_MS) this.close(CLOSE_CODES.silent, 'nothing heard for 30 s');
    else if (this.#state === 'leaving' && nowMs - this.#leavingSinceMs >= LEAVING_DEADLINE_MS) {
      this.close(CLOSE_CODES.normal, 'bye');
    } else {
      if (silentMs >= PING_AFTER_MS && nowMs - this.#pingedAtMs >= PING_AFTER_MS) {
        this.#pingedAtMs = nowMs;
        this.#answers.ping();
      }
      this.#answers.acknowledge(nowMs);
    }
  }

  /** Says what is still to be said, then ends the connection. */
  close(code: number, reason: string): void {
    this.#answers.close(code, reason);
  }

  /** The socket has gone. */
  closed(): void {
    const { drivers, claims, clock } = this.#edge;
    this.#moveTo('closed');
    this.#answers.closed();
    drivers.detach(this.slot, this, clock.monotonicMs());
    claims.closed(this);
  }

  #settleSoon(): void {
    if (this.#isSettling) return;
    this.#isSettling = true;
    this.#edge.settleSoon(this);
  }

  #isFarewell(recordedAtMs: number): boolean {
    return this.#farewellTimeMs !== 0 && recordedAtMs === this.#farewellTimeMs;
  }

  #isDegraded(durability: Durability): boolean {
    return durability === 'cache' && this.#edge.settings.durability === 'replicated';
  }

  #moveTo(next: State): void {
    if (!MAY_FOLLOW[this.#state].includes(next)) {
      throw new Error(`a connection that is ${this.#state} cannot become ${next}`);
    }
    this.#state = next;
  }
}

function isTooLarge(message: ArrayBuffer, isBinary: boolean): boolean {
  if (message.byteLength <= MAX_MESSAGE_BYTES) return false;
  if (isBinary || message.byteLength > MAX_BATCH_BYTES) return true;
  return !Buffer.from(message, 0, 64).includes('"positions"');
}

function seqsOf(message: ClientMessage): number[] {
  if (message.type === 'position') return [message.seq];
  return message.type === 'positions' ? message.positions.map(({ seq }) => seq) : [];
}

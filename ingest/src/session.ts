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
import type { Position } from '@whereabouts/infra/position';
import { TokenError } from '@whereabouts/infra/service/tokens';
import { AckLedger } from './ack-ledger.js';
import { Conduct } from './conduct.js';
import type { Dialect } from './dialect.js';
import type { AckSource, Edge } from './edge.js';
import { helloMessage } from './hello.js';
import { Intake, type IntakeOutlet } from './intake.js';
import { offlineRecord } from './offline-record.js';
import type { Origin } from './origin.js';
import { Outbox, type Socket } from './outbox.js';
import { readPosition } from './position-reader.js';
import { SessionNumber } from './session-number.js';

export interface SessionStart {
  driverId: string;
  number: number;
  sparseAcks: boolean;
  dialect: Dialect;
  tokenExpiresAtMs: number;
}

type State = 'open' | 'leaving' | 'closed';

const MAY_FOLLOW: Record<State, readonly State[]> = {
  open: ['leaving', 'closed'],
  leaving: ['closed'],
  closed: [],
};
/** 100 positions with every field do not fit into MAX_MESSAGE_BYTES as JSON. */
export const MAX_BATCH_BYTES = 24 * 1024;
const SILENCE_LIMIT_MS = 30_000;
const PING_AFTER_MS = 12_000;
const LEAVING_DEADLINE_MS = 5000;
const RETRY_AFTER_MS = 1000;

export class Session implements Origin, AckSource, IntakeOutlet {
  readonly driverId: string;
  readonly #number: SessionNumber;
  readonly #edge: Edge;
  readonly #dialect: Dialect;
  readonly #outbox: Outbox;
  readonly #ledger: AckLedger;
  readonly #intake: Intake;
  readonly #conduct: Conduct;
  #state: State = 'open';
  #tokenExpiresAtMs: number;
  #isRenewing = false;
  #heardAtMs: number;
  #pingedAtMs: number;
  #isSettling = false;
  /** When the oldest report came that is not settled, and the newest; 0 where all are. */
  #waitingSinceMs = 0;
  #submittedAtMs = 0;
  #leavingSinceMs = 0;
  /** The recorded-at of the offline record that a bye makes, which has no seq of the client's. */
  #farewellTimeMs = 0;

  constructor(edge: Edge, socket: Socket, start: SessionStart) {
    const nowMs = edge.clock.monotonicMs();
    const { maxReportsPerS, maxReportsBurst } = edge.settings;
    this.driverId = start.driverId;
    this.#number = new SessionNumber(start.number);
    this.#edge = edge;
    this.#dialect = start.dialect;
    this.#ledger = new AckLedger(start.sparseAcks);
    this.#outbox = new Outbox(edge, socket, start.dialect, this.#ledger);
    this.#intake = new Intake(edge, this.#ledger);
    this.#conduct = new Conduct({ perS: maxReportsPerS, burst: maxReportsBurst }, nowMs);
    this.#tokenExpiresAtMs = start.tokenExpiresAtMs;
    this.#heardAtMs = nowMs;
    this.#pingedAtMs = nowMs;
    this.#outbox.send(helloMessage(edge, start.number));
  }

  get number(): number {
    return this.#number.value;
  }

  get lastSeq(): number {
    return this.#intake.lastSeq;
  }

  get isLeaving(): boolean {
    return this.#state === 'leaving';
  }

  // ---- what the client sends

  received(message: ArrayBuffer, isBinary: boolean): void {
    if (this.#state === 'closed') return;
    const nowMs = this.#edge.clock.monotonicMs();
    this.#heardAtMs = nowMs;
    this.#edge.counters.bytesIn += message.byteLength;
    if (isTooLarge(message, isBinary)) {
      this.close(CLOSE_CODES.tooLarge, `at most ${MAX_MESSAGE_BYTES} bytes`);
      return;
    }
    const isInTime = this.#conduct.message(nowMs);
    if (isInTime && isBinary && this.#takeInPlace(message)) return;
    if (!isInTime && this.#endsForSpeed(nowMs)) return;
    const decoded = isInTime || this.#conduct.isWorthReading() ? this.#decoded(message, isBinary) : null;
    if (!isInTime) this.#refuseForSpeed(decoded);
    else if (decoded !== null) this.#dispatch(decoded);
  }

  /** uWebSockets.js answers pings by itself. */
  receivedControl(kind: 'ping' | 'pong'): void {
    if (this.#state === 'closed') return;
    const nowMs = this.#edge.clock.monotonicMs();
    this.#heardAtMs = nowMs;
    this.#edge.counters.messages[kind]++;
    if (this.#conduct.control(nowMs) || this.#endsForSpeed(nowMs)) return;
    if (this.#conduct.isFirstControlRefusal())
      this.#outbox.refuse('too_fast', null, `too many ${kind}s`, null);
  }

  /** Returns whether that was all that there was to do. */
  #takeInPlace(message: ArrayBuffer): boolean {
    if (!this.#dialect.binary || this.#state !== 'open' || this.#edge.draining) return false;
    const position = readPosition(message, this.driverId, this.#number.value);
    if (position === null) return false;
    this.#edge.counters.messages.position++;
    this.#outbox.tellPace();
    this.#intake.takeOne(position, this);
    return true;
  }

  #decoded(message: ArrayBuffer, isBinary: boolean): ClientMessage | null {
    if (isBinary !== this.#dialect.binary) {
      this.badMessage(null, this.#dialect.binary ? 'expected a binary frame' : 'expected a text message');
      return null;
    }
    try {
      const decoded = this.#dialect.decode(message);
      this.#edge.counters.messages[decoded.type]++;
      return decoded;
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      this.badMessage(error.seq, error.detail);
      return null;
    }
  }

  #dispatch(message: ClientMessage): void {
    this.#outbox.tellPace();
    if (message.type === 'token') {
      void this.#renew(message.token);
    } else if (this.#edge.draining) {
      this.#refuseAll(message, 'not_ready', 'this server is stopping: connect again');
    } else if (this.#state === 'leaving') {
      this.badMessage(seqsOf(message)[0] ?? null, 'nothing may follow a bye');
    } else if (message.type === 'bye') {
      this.#leave();
    } else {
      this.#intake.take(message.type === 'position' ? [message] : message.positions, this);
    }
  }

  async #renew(token: string): Promise<void> {
    if (this.#isRenewing) {
      this.#outbox.refuse('too_fast', null, 'another token is being verified', null);
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
      else if (error.retryable) this.#outbox.refuse('not_ready', null, error.message, RETRY_AFTER_MS);
      else this.badMessage(null, error.message);
    } finally {
      this.#isRenewing = false;
    }
  }

  #leave(): void {
    this.#moveTo('leaving');
    this.#leavingSinceMs = this.#edge.clock.monotonicMs();
    const last = this.#edge.recorder.lastKnown(this.driverId);
    if (last === null) {
      this.close(CLOSE_CODES.normal, 'bye');
      return;
    }
    const nowMs = this.#edge.clock.storeNowMs();
    const record = offlineRecord(last, this.number, this.#intake.lastSeq + 1, nowMs);
    this.#farewellTimeMs = record.recordedAtMs;
    this.#number.submitted(record);
    this.#edge.recorder.submit(record, this);
  }

  #endsForSpeed(nowMs: number): boolean {
    if (!this.#conduct.isTooFastForLong(nowMs)) return false;
    this.close(CLOSE_CODES.tooFast, `more than ${this.#edge.settings.maxReportsPerS} messages a second`);
    return true;
  }

  #refuseForSpeed(message: ClientMessage | null): void {
    const detail = `more than ${this.#edge.settings.maxReportsPerS} messages a second`;
    if (message !== null) this.#refuseAll(message, 'too_fast', detail);
    else if (!this.#conduct.isWorthReading()) this.#outbox.refuse('too_fast', null, detail, null);
  }

  #refuseAll(message: ClientMessage, code: NackCode, detail: string): void {
    const retryAfterMs = RETRYABLE[code] ? RETRY_AFTER_MS : null;
    const seqs = seqsOf(message);
    for (const seq of seqs) this.#outbox.refuse(code, seq, detail, retryAfterMs);
    if (seqs.length === 0) this.#outbox.refuse(code, null, detail, retryAfterMs);
  }

  // ---- what the intake decides

  nack(code: NackCode, seq: number, detail: string): void {
    this.#outbox.refuse(code, seq, detail, RETRYABLE[code] ? RETRY_AFTER_MS : null);
  }

  badMessage(seq: number | null, detail: string): void {
    this.#edge.counters.messages.unreadable++;
    this.#outbox.refuse('bad_message', seq, detail, null);
    if (this.#conduct.badMessage(this.#edge.clock.monotonicMs())) {
      this.close(CLOSE_CODES.badMessage, 'too many messages that cannot be read');
    }
  }

  submit(position: Position): void {
    this.#submittedAtMs = this.#heardAtMs;
    if (this.#waitingSinceMs === 0) this.#waitingSinceMs = this.#heardAtMs;
    this.#edge.counters.reports++;
    this.#number.submitted(position);
    this.#edge.recorder.submit(position, this);
  }

  settleSoon(): void {
    if (this.#isSettling) return;
    this.#isSettling = true;
    this.#edge.settleSoon(this);
  }

  // ---- what the recorder answers

  accepted(position: Position, durability: Durability): void {
    if (this.#state === 'closed') return;
    this.#number.prove();
    const nowMs = this.#edge.clock.monotonicMs();
    const degraded = durability === 'cache' && this.#edge.settings.durability === 'replicated';
    if (this.#isFarewell(position)) {
      this.#farewellTimeMs = 0;
      this.#ledger.accept(this.#intake.lastSeq, false, degraded);
      this.#ledger.hurry();
    } else {
      this.#ledger.accept(position.seq, position.checkpoint, degraded);
      this.#intake.accepted(position.seq);
      this.#observeLatency(nowMs);
    }
    if (this.#state === 'leaving' || this.#ledger.dueSeq(nowMs) !== 0) this.settleSoon();
  }

  refused(position: Position, code: NackCode, retryAfterMs: number | null, detail: string): void {
    // A farewell stays held by the recorder where that helps, and its driver has nothing to send again.
    if (this.#state === 'closed' || this.#isFarewell(position)) return;
    this.#ledger.refuse(position.seq, RETRYABLE[code]);
    for (const seq of this.#intake.refused(position.seq))
      this.#outbox.refuse(code, seq, detail, retryAfterMs);
    this.#outbox.refuse(code, position.seq, detail, retryAfterMs);
    if (position.seq >= this.#intake.lastSeq) this.#waitingSinceMs = 0;
  }

  superseded(position: Position, storedSession: number): void {
    if (this.#state === 'closed') return;
    const verdict = this.#number.outrank(storedSession);
    if (verdict === 'superseded') {
      this.close(CLOSE_CODES.superseded, 'a newer connection of this driver');
      return;
    }
    if (verdict === 'renumbered') this.#edge.counters.renumbered++;
    // What a later one has settled meanwhile need not go again.
    if (!position.checkpoint && position.seq <= this.#ledger.acceptedSeq) return;
    const again = this.#number.again(position);
    if (again !== null) this.#edge.recorder.submit(again, this);
  }

  persisted(position: Position): void {
    if (this.#state === 'closed') return;
    // The acknowledgement first, where it waits for the end of this turn.
    this.settle(this.#edge.clock.monotonicMs());
    this.#edge.counters.persisted++;
    this.#outbox.send({ type: 'persisted', seq: position.seq });
  }

  // ---- what the session does by itself

  /** Once a turn of the recorder's answers, and about once a second. */
  settle(nowMs: number): void {
    this.#isSettling = false;
    if (this.#state === 'closed') return;
    this.#outbox.acknowledge(this.#ledger.dueSeq(nowMs), nowMs);
    const hasLeft = this.#state === 'leaving' && this.#farewellTimeMs === 0;
    if (hasLeft && this.#ledger.openCheckpoints() === 0) this.close(CLOSE_CODES.normal, 'bye');
  }

  check(nowMs: number, wallMs: number): void {
    const silentMs = nowMs - this.#heardAtMs;
    if (this.#tokenExpiresAtMs <= wallMs) this.close(CLOSE_CODES.tokenExpired, 'the token has expired');
    else if (silentMs >= SILENCE_LIMIT_MS) this.close(CLOSE_CODES.silent, 'nothing heard for 30 s');
    else if (this.#state === 'leaving' && nowMs - this.#leavingSinceMs >= LEAVING_DEADLINE_MS) {
      this.close(CLOSE_CODES.normal, 'bye');
    } else {
      if (silentMs >= PING_AFTER_MS && nowMs - this.#pingedAtMs >= PING_AFTER_MS) {
        this.#pingedAtMs = nowMs;
        this.#outbox.ping();
      }
      this.#outbox.acknowledge(this.#ledger.dueSeq(nowMs), nowMs);
    }
  }

  /** Says what is still to be said, then ends the connection. */
  close(code: number, reason: string): void {
    if (this.#state === 'closed') return;
    this.#outbox.acknowledge(this.#ledger.lastSeq(), this.#heardAtMs);
    this.#outbox.end(code, reason);
  }

  /** The socket has gone. */
  closed(): void {
    this.#moveTo('closed');
    this.#outbox.closed();
  }

  #isFarewell(position: Position): boolean {
    return this.#farewellTimeMs !== 0 && position.recordedAtMs === this.#farewellTimeMs;
  }

  #observeLatency(nowMs: number): void {
    if (this.#waitingSinceMs === 0) return;
    this.#edge.counters.ackLatency.observe(nowMs - this.#waitingSinceMs);
    this.#waitingSinceMs = this.#ledger.acceptedSeq >= this.#intake.lastSeq ? 0 : this.#submittedAtMs;
  }

  #moveTo(next: State): void {
    if (!MAY_FOLLOW[this.#state].includes(next)) {
      throw new Error(`a session that is ${this.#state} cannot become ${next}`);
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

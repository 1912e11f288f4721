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
  type UncheckedPosition,
} from '@whereabouts/client/protocol';
import type { Position } from '@whereabouts/infra/position';
import { TokenError } from '@whereabouts/infra/service/tokens';
import { AckLedger } from './ack-ledger.js';
import { type Conduct, CUT_OFF } from './conduct.js';
import type { Dialect } from './dialect.js';
import type { AckSource, Edge } from './edge.js';
import { helloMessage } from './hello.js';
import { Intake, type IntakeOutlet } from './intake.js';
import { offlineRecord } from './offline-record.js';
import type { Origin } from './origin.js';
import { Outbox, type Socket } from './outbox.js';
import { readPosition } from './position-reader.js';
import type { Moment } from './rate-limit.js';
import { SessionNumber } from './session-number.js';

export interface SessionStart {
  driverId: string;
  number: number;
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
const RETRY_AFTER_MS = 1000;
const MAX_AFTER_VERDICT = 100;

export class Session implements Origin, AckSource, IntakeOutlet {
  readonly driverId: string;
  readonly connection: number;
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
  /** Messages that came in the turn in which it was decided that this connection ends. */
  #afterVerdict = -1;
  /** The recorded-at of the offline record that a bye makes, which has no seq of the client's. */
  #farewellTimeMs = 0;

  constructor(edge: Edge, socket: Socket, start: SessionStart) {
    const nowMs = edge.clock.monotonicMs();
    this.driverId = start.driverId;
    this.connection = start.number;
    this.#number = new SessionNumber(start.number);
    this.#edge = edge;
    this.#dialect = start.dialect;
    this.#ledger = new AckLedger(start.sparseAcks);
    this.#outbox = new Outbox(edge, socket, start.dialect, this.#ledger);
    this.#intake = new Intake(edge, this.#ledger);
    this.#conduct = start.conduct;
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
    if (this.#afterVerdict >= 0) {
      if (++this.#afterVerdict > MAX_AFTER_VERDICT) this.#cutOff();
      return;
    }
    const nowMs = this.#edge.clock.monotonicMs();
    this.#heardAtMs = nowMs;
    this.#edge.counters.bytesIn += message.byteLength;
    if (isTooLarge(message, isBinary)) {
      this.close(CLOSE_CODES.tooLarge, `at most ${MAX_MESSAGE_BYTES} bytes`);
      return;
    }
    if (isBinary && this.#takeInPlace(message, nowMs)) return;
    if (!isBinary && this.#isRefusedUnread(message, nowMs)) return;
    const decoded = this.#decoded(message, isBinary);
    if (decoded !== null) this.#dispatch(decoded, nowMs);
  }

  /** Reading a batch costs more than all else, and of one that comes too fast nearly nothing would be taken. */
  #isRefusedUnread(message: ArrayBuffer, nowMs: number): boolean {
    if (message.byteLength <= READ_ALWAYS_BYTES) return false;
    const at = this.#moment(nowMs);
    if (!this.#conduct.heedsNothing(at) || Buffer.from(message).includes('"checkpoint"')) return false;
    this.#conduct.reports(1, at);
    this.#refuse('too_fast', null, this.#tooFastDetail());
    return true;
  }

  /** uWebSockets.js answers pings by itself. */
  receivedControl(kind: 'ping' | 'pong'): void {
    if (this.#state === 'closed') return;
    const nowMs = this.#edge.clock.monotonicMs();
    this.#heardAtMs = nowMs;
    this.#edge.counters.messages[kind]++;
    if (this.#conduct.control(this.#moment(nowMs))) return;
    const isFirst = this.#conduct.isFirstControlRefusal();
    if (isFirst) this.#outbox.refuse('too_fast', null, `too many ${kind}s`, null);
    this.#countRefusal('too_fast');
  }

  /** Returns whether that was all that there was to do. */
  #takeInPlace(message: ArrayBuffer, nowMs: number): boolean {
    if (!this.#dialect.binary || this.#state !== 'open' || this.#edge.draining) return false;
    const position = readPosition(message, this.driverId, this.#number.value);
    if (position === null) return false;
    this.#edge.counters.messages.position++;
    this.#outbox.tellPace();
    if (this.#conduct.reports(1, this.#moment(nowMs)) === 1) this.#intake.takeOne(position, this);
    else this.nack('too_fast', position.seq, this.#tooFastDetail());
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

  #dispatch(message: ClientMessage, nowMs: number): void {
    this.#outbox.tellPace();
    if (message.type === 'token') {
      if (this.#conduct.reports(1, this.#moment(nowMs)) === 1) void this.#renew(message.token);
      else this.#refuse('too_fast', null, this.#tooFastDetail());
    } else if (this.#edge.draining) {
      this.#refuseAll(message, 'not_ready', 'this server is stopping: connect again');
    } else if (this.#state === 'leaving') {
      this.badMessage(seqsOf(message)[0] ?? null, 'nothing may follow a bye');
    } else if (message.type === 'bye') {
      this.#leave();
    } else {
      const reports = message.type === 'position' ? [message] : message.positions;
      this.#intake.take(this.#inTime(reports, nowMs), this);
    }
  }

  /** Of a message's reports those that the driver's limits allow: the newest, for the others are overtaken. */
  #inTime(reports: readonly UncheckedPosition[], nowMs: number): readonly UncheckedPosition[] {
    const at = this.#moment(nowMs);
    const checkpoints = reports.filter((report) => report.checkpoint === true);
    const others =
      checkpoints.length === 0 ? reports : reports.filter((report) => report.checkpoint !== true);
    const allowed = others.length === 0 ? 0 : this.#conduct.reports(others.length, at);
    const bySeq = others.length === 1 ? others : [...others].sort((a, b) => a.seq - b.seq);
    const late = bySeq[others.length - allowed - 1];
    if (late !== undefined) {
      const many = others.length - allowed > 1 ? `, as ${others.length - allowed} of this message` : '';
      this.nack('too_fast', late.seq, this.#tooFastDetail() + many);
    }
    const inTime = bySeq.slice(others.length - allowed);
    for (const checkpoint of checkpoints) {
      if (this.#conduct.checkpoint(at)) inTime.push(checkpoint);
      else this.#refuseHasty(checkpoint.seq, nowMs);
    }
    return inTime;
  }

  /** Not the checkpoint is refused but the haste, so its driver is told when to send it again. */
  #refuseHasty(seq: number, nowMs: number): void {
    const { checkpointsPerMin } = this.#edge.settings;
    const detail = `more than ${checkpointsPerMin} checkpoints a minute`;
    this.#refuse('too_fast', seq, detail, { retryAfterMs: this.#conduct.checkpointWaitMs(nowMs) });
  }

  #tooFastDetail(): string {
    return `more than ${this.#edge.settings.maxReportsPerS} reports a second`;
  }

  async #renew(token: string): Promise<void> {
    if (this.#isRenewing) {
      this.#refuse('too_fast', null, 'another token is being verified');
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
      else if (error.retryable) this.#refuse('not_ready', null, error.message);
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

  #refuseAll(message: ClientMessage, code: NackCode, detail: string): void {
    const seqs = seqsOf(message);
    for (const seq of seqs) this.#refuse(code, seq, detail);
    if (seqs.length === 0) this.#refuse(code, null, detail);
  }

  #refuse(
    code: NackCode,
    seq: number | null,
    detail: string,
    o: { retryAfterMs?: number | null; count?: number } = {},
  ): void {
    const { retryAfterMs = RETRYABLE[code] ? RETRY_AFTER_MS : null, count = 1 } = o;
    this.#outbox.refuse(code, seq, detail, retryAfterMs);
    this.#countRefusal(code, count);
  }

  /** Who is refused too often, for whatever reason, is not listened to for ever. */
  #countRefusal(code: NackCode, count = 1): void {
    const nowMs = this.#edge.clock.monotonicMs();
    const end = this.#conduct.refused(code, nowMs, count);
    if (end === CUT_OFF) this.#cutOff();
    else if (end === CLOSE_CODES.tooFast) this.#endWith(end, this.#tooFastDetail());
    else if (end !== null) this.#endWith(end, 'too many messages that were refused');
  }

  /** At the end of this turn: by then it has shown whether it pours. */
  #endWith(code: number, reason: string): void {
    if (this.#afterVerdict >= 0) return;
    this.#afterVerdict = 0;
    setImmediate(() => this.close(code, reason));
  }

  /** Without a word, as uWebSockets.js goes on reading a socket that it closes in good order. */
  #cutOff(): void {
    this.#conduct.strike(this.#edge.clock.monotonicMs());
    this.#outbox.cutOff();
  }

  #moment(nowMs: number): Moment {
    return { nowMs, stalledMs: this.#edge.clock.stalledMs(nowMs) };
  }

  // ---- what the intake decides

  nack(code: NackCode, seq: number, detail: string, count = 1): void {
    this.#refuse(code, seq, detail, { count });
  }

  badMessage(seq: number | null, detail: string, count = 1): void {
    this.#edge.counters.messages.unreadable++;
    this.#refuse('bad_message', seq, detail, { count });
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
      this.#observeLatency(nowMs);
    }
    if (this.#state === 'leaving' || this.#ledger.dueSeq(nowMs) !== 0) this.settleSoon();
  }

  refused(position: Position, code: NackCode, retryAfterMs: number | null, detail: string): void {
    // A farewell stays held by the recorder where that helps, and its driver has nothing to send again.
    if (this.#state === 'closed' || this.#isFarewell(position)) return;
    this.#ledger.refuse(position.seq, RETRYABLE[code]);
    this.#intake.refused(position.seq);
    this.#refuse(code, position.seq, detail, { retryAfterMs });
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

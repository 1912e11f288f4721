// One driver: a WebSocket kept open over as many connections as it takes, a report in each interval, a checkpoint at
// the end of each trip and of the shift.
//
//   away ──delay──▶ connecting ──hello──▶ open ──bye──▶ ended
//     ▲                 │                  │  └─hang up─▶ closing
//     └──────close──────┴───────close──────┴────────close────┘
import { check } from 'k6';
import { WebSocket } from 'k6/websockets';
import { connectFailures, connectLatency, lostConnections } from './driver-metrics.js';
import { Outbox } from './outbox.js';
import { reconnectDelayMs } from './reconnect.js';
import { settings } from './settings.js';
import { target } from './target.js';
import { driverToken } from './tokens.js';

/** If a due answer takes longer than this, the connection is dead. */
const ANSWER_DEADLINE_MS = 20_000;
/** How long a leaving driver waits for its last checkpoint. */
const LEAVE_DEADLINE_MS = 10_000;
const LEAVE_LOOK_MS = 100;
const DEFAULT_RETRY_MS = 1000;
const BROKEN = 1006; // k6 gives no code where there was no close frame

export class Driver {
  #id;
  #vehicle;
  #outbox;
  #phaseAt;
  #warn;
  #state = 'away';
  #socket = null;
  #intervalMs = settings.intervalMs || 2000;
  #failures = 0; // since the last acknowledgement
  #heardAtMs = 0;
  #trips = 0;
  #reportTimer;
  #reconnectTimer;
  #leaveAtMs = null;

  constructor({ id, vehicle, phaseAt, warn }) {
    this.#id = id;
    this.#vehicle = vehicle;
    this.#phaseAt = phaseAt;
    this.#warn = warn;
    this.#outbox = new Outbox({ thinned: settings.ackMode === 'sparse', phaseAt });
  }

  start() {
    this.#outbox.report(this.#vehicle.report(), Date.now());
    this.#connect();
    this.#scheduleReport();
  }

  /** Like a tunnel or a crash: without a close. The driver comes back by itself. */
  cut() {
    if (this.#state === 'open') this.#hangUp();
  }

  /** The end of the shift: a last checkpoint, then `bye`, once everything is answered. */
  leave() {
    if (this.#state === 'ended') return; // superseded or forbidden
    clearTimeout(this.#reportTimer);
    this.#leaveAtMs = Date.now() + LEAVE_DEADLINE_MS;
    this.#endTrip({ ...this.#vehicle.report(), status: 'available' });
    this.#sendDue();
    this.#leaveWhenAnswered();
  }

  // ---- the connection

  #connect() {
    this.#state = 'connecting';
    const startedAtMs = Date.now();
    const headers = { Authorization: `Bearer ${driverToken(this.#id)}` };
    const url = `${target.ingestUrl}/v1/stream?ack=${settings.ackMode}`;
    const socket = new WebSocket(url, ['whereabouts.v1.json'], { headers, tags: { name: 'stream' } });
    let why = 'closed before hello';
    socket.onmessage = ({ data, timestamp }) => {
      const message = JSON.parse(data);
      if (message.type === 'hello') connectLatency.add(Date.now() - startedAtMs, this.#phaseAt(startedAtMs));
      this.#received(message, timestamp);
    };
    socket.onerror = ({ error }) => {
      // k6 does not report which status.
      why = error.endsWith('bad handshake')
        ? 'refused: a bad token (401, 403), or no room, or not ready (503)'
        : error;
    };
    socket.onclose = ({ code }) => {
      // A connection that was given up may close long after its successor has opened.
      if (socket === this.#socket) this.#closed(code ?? BROKEN, why);
    };
    this.#socket = socket;
  }

  #closed(code, why) {
    if (this.#state === 'ended') return;
    if (this.#state === 'connecting') {
      connectFailures.add(1);
      this.#warn(`${this.#id}: no connection (${code}): ${why}`);
    } else if (this.#state === 'open') lostConnections.add(1, { code: String(code) });
    this.#state = 'away';
    this.#outbox.lost();
    const delayMs = reconnectDelayMs(code, this.#failures++);
    if (delayMs === null) this.#end();
    else this.#reconnectTimer = setTimeout(() => this.#connect(), delayMs);
  }

  /** k6 throws at a send from here on, and passes nothing on until the close. */
  #hangUp() {
    this.#state = 'closing';
    this.#socket.close();
  }

  #received(message, atMs) {
    if (this.#state === 'ended') {
      this.#socket.close(); // left while it was connecting
      return;
    }
    this.#heardAtMs = atMs;
    switch (message.type) {
      case 'hello':
        this.#state = 'open';
        this.#pace(message.limits.report_interval_ms);
        this.#outbox.hello(message, atMs);
        this.#sendDue();
        break;
      case 'ack':
        this.#failures = 0;
        this.#outbox.ack(message.seq, atMs);
        break;
      case 'nack':
        this.#nacked(message);
        break;
      case 'persisted':
        this.#outbox.persisted(message.seq, atMs);
        break;
      case 'pace':
        this.#pace(message.report_interval_ms);
        break;
    }
  }

  #nacked(nack) {
    if (this.#outbox.nack(nack, Date.now())) {
      this.#hangUp();
      return;
    }
    if (!nack.retryable) return;
    const socket = this.#socket;
    setTimeout(() => {
      if (this.#state !== 'open' || socket !== this.#socket) return;
      const message = this.#outbox.again(nack.seq, Date.now());
      if (message !== null) socket.send(JSON.stringify(message));
    }, nack.retry_after_ms ?? DEFAULT_RETRY_MS);
  }

  // ---- reports

  /** Never more often than the server asks. */
  #pace(reportIntervalMs) {
    this.#intervalMs = Math.max(reportIntervalMs, settings.intervalMs);
  }

  #scheduleReport() {
    this.#reportTimer = setTimeout(() => {
      this.#scheduleReport();
      const tripEnded = this.#vehicle.advance(this.#intervalMs / 1000);
      if (tripEnded) this.#endTrip(this.#vehicle.report());
      else this.#outbox.report(this.#vehicle.report(), Date.now());
      this.#sendDue();
    }, this.#intervalMs);
  }

  #endTrip(fields) {
    this.#trips++;
    const nowMs = Date.now();
    this.#outbox.checkpoint(fields, `${this.#id}-${nowMs}-${this.#trips}`, nowMs);
  }

  #sendDue() {
    if (this.#state !== 'open') return;
    const nowMs = Date.now();
    if (this.#isDead(nowMs)) {
      this.#giveUp();
      return;
    }
    for (const message of this.#outbox.due(nowMs)) this.#socket.send(JSON.stringify(message));
  }

  #isDead(nowMs) {
    const sinceMs = this.#outbox.unansweredSinceMs;
    return sinceMs !== null && nowMs - Math.max(sinceMs, this.#heardAtMs) > ANSWER_DEADLINE_MS;
  }

  /** The peer may never answer a close frame, so the driver does not wait for that. */
  #giveUp() {
    const socket = this.#socket;
    this.#socket = null;
    socket.close();
    this.#closed(BROKEN, 'no answer');
  }

  // ---- the end

  #leaveWhenAnswered() {
    if (this.#state === 'ended') return;
    const isAnswered = this.#outbox.unansweredSinceMs === null && this.#outbox.waitingCheckpoints === 0;
    if (!isAnswered && Date.now() < this.#leaveAtMs) {
      setTimeout(() => this.#leaveWhenAnswered(), LEAVE_LOOK_MS);
      return;
    }
    if (this.#state === 'open') {
      this.#socket.send(JSON.stringify({ type: 'bye' }));
      this.#socket.close();
    }
    this.#end();
  }

  #end() {
    this.#state = 'ended';
    clearTimeout(this.#reportTimer);
    clearTimeout(this.#reconnectTimer);
    check(this.#outbox, {
      'every report was answered': (outbox) => outbox.unansweredSinceMs === null,
      'every checkpoint is in the archive': (outbox) => outbox.waitingCheckpoints === 0,
    });
  }
}

// All sessions of this process, one for each driver: the newest connection wins. What happens by itself (silence,
// expired tokens, drivers who stay away, the pace) happens in one look at all of them, once a second.
import { setTimeout as sleep } from 'node:timers/promises';
import { CLOSE_CODES } from '@whereabouts/client/protocol';
import { type Absence, Absences } from './absences.js';
import { Conducts } from './conducts.js';
import type { Edge } from './edge.js';
import { offlineRecord } from './offline-record.js';
import type { Socket } from './outbox.js';
import { EVEN_PACE, maxPaceFactor, nextPace, type Pace } from './pace.js';
import { Session, type SessionStart } from './session.js';

const SLICE_MS = 20;
/** The client's own doing: it is not let in again at once. */
const STRIKES: ReadonlySet<number> = new Set([
  CLOSE_CODES.tooLarge,
  CLOSE_CODES.overloaded,
  CLOSE_CODES.badMessage,
  CLOSE_CODES.tooFast,
]);
/** Of those who have left, for each connection that there may be: their limits outlive their connections. */
const REMEMBERED_PER_CONNECTION = 2;

export class Sessions {
  readonly #edge: Edge;
  readonly #byDriver = new Map<string, Session>();
  readonly #absences: Absences;
  readonly #conducts: Conducts;
  readonly #maxPaceFactor: number;
  #pace: Pace = EVEN_PACE;
  #lastNumber = 0;

  constructor(edge: Edge) {
    const { offlineAfterMs, maxConnections, reportIntervalMs, freshnessMs } = edge.settings;
    this.#edge = edge;
    this.#conducts = new Conducts(limitsOf(edge), REMEMBERED_PER_CONNECTION * maxConnections);
    this.#absences = new Absences(offlineAfterMs, maxConnections);
    this.#maxPaceFactor = maxPaceFactor(reportIntervalMs, freshnessMs);
  }

  get size(): number {
    return this.#byDriver.size;
  }

  get absentDrivers(): number {
    return this.#absences.size;
  }

  /** Drivers whose limits are remembered. */
  get rememberedDrivers(): number {
    return this.#conducts.size;
  }

  /** For how long a driver is to stay away; 0 for who may try. Whoever claims to be it has not proved that yet. */
  pauseMs(driverId: string): number {
    return this.#conducts.find(driverId)?.pauseMs(this.#edge.clock.monotonicMs()) ?? 0;
  }

  /** A proven driver connects: 0, or for how long it is to stay away. */
  admitMs(driverId: string): number {
    const { clock } = this.#edge;
    const nowMs = clock.monotonicMs();
    return this.#conducts.of(driverId, nowMs).connect({ nowMs, stalledMs: clock.stalledMs(nowMs) });
  }

  open(start: Omit<SessionStart, 'number' | 'conduct'>, socket: Socket): Session {
    const { driverId } = start;
    const older = this.#byDriver.get(driverId);
    const number = this.#nextNumber(older);
    older?.close(CLOSE_CODES.superseded, 'a newer connection of this driver');
    this.#absences.returned(driverId);
    const conduct = this.#conducts.of(driverId, this.#edge.clock.monotonicMs());
    const session = new Session(this.#edge, socket, { ...start, number, conduct });
    this.#byDriver.set(driverId, session);
    this.#conducts.connected(driverId);
    this.#edge.counters.upgrades++;
    return session;
  }

  /** The socket of this session has gone, for whatever reason. */
  closed(session: Session, code: number): void {
    this.#edge.counters.countClose(code);
    const hasLeft = session.isLeaving;
    session.closed();
    const { driverId, number } = session;
    const nowMs = this.#edge.clock.monotonicMs();
    if (STRIKES.has(code)) this.#conducts.of(driverId, nowMs).strike(nowMs);
    if (this.#byDriver.get(driverId) !== session) return;
    this.#byDriver.delete(driverId);
    this.#conducts.left(driverId);
    // A newer connection speaks for the driver, or the bye did; a stopping server's drivers connect elsewhere.
    if (code === CLOSE_CODES.superseded || hasLeft || this.#edge.draining) return;
    this.#absences.left(driverId, { session: number, seq: session.lastSeq }, nowMs);
  }

  /** About once a second. */
  look(lagMs: number): void {
    const { clock, recorder, settings } = this.#edge;
    const nowMs = clock.monotonicMs();
    const wallMs = clock.wallMs();
    // What may be in the sockets already is no silence.
    const heardByMs = nowMs - clock.stalledMs(nowMs);
    for (const session of this.#byDriver.values()) session.check(nowMs, heardByMs, wallMs);
    this.#conducts.forgetRested(nowMs);
    if (this.#edge.draining) return;
    this.#absences.takeDue(nowMs, (driverId, absence) => this.#recordOffline(driverId, absence));
    const load = { lagMs, pendingReports: recorder.pendingReports(), connections: this.size };
    this.#pace = nextPace(this.#pace, load, this.#maxPaceFactor);
    this.#edge.reportIntervalMs = settings.reportIntervalMs * this.#pace.factor;
  }

  /** Spread, so that the drivers do not all come back in the same moment. */
  async closeAll(code: number, reason: string, spreadMs: number): Promise<void> {
    const open = [...this.#byDriver.values()];
    const slices = Math.max(1, Math.ceil(Math.min(spreadMs, open.length) / SLICE_MS));
    const sliceSize = Math.ceil(open.length / slices);
    for (let at = 0; at < open.length; at += sliceSize) {
      if (at > 0) await sleep(SLICE_MS);
      for (const session of open.slice(at, at + sliceSize)) session.close(code, reason);
    }
  }

  /** Redis time, and never the same twice: two connections of one driver must differ. */
  #nextNumber(older: Session | undefined): number {
    const now = Math.floor(this.#edge.clock.storeNowMs());
    this.#lastNumber = Math.max(now, this.#lastNumber + 1);
    // One that took its number from the store may be ahead of the clock.
    return older === undefined ? this.#lastNumber : Math.max(this.#lastNumber, older.number + 1);
  }

  #recordOffline(driverId: string, { session, seq }: Absence): void {
    const { recorder, clock, counters } = this.#edge;
    const last = recorder.lastKnown(driverId);
    if (last === null || last.status === 'offline') return;
    counters.offlineRecords++;
    recorder.submit(offlineRecord(last, session, seq + 1, clock.storeNowMs()), null);
  }
}

function limitsOf({ settings }: Edge) {
  const { maxReportsPerS, maxReportsBurst, checkpointsPerMin, checkpointsBurst } = settings;
  return {
    reports: { perS: maxReportsPerS, burst: maxReportsBurst },
    checkpoints: { perS: checkpointsPerMin / 60, burst: checkpointsBurst },
  };
}

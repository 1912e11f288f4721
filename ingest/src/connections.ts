// All connections of this process, one for each driver: the newest wins. What happens by itself (silence, expired tokens,
// drivers who stay away, the pace) happens in one look at all of them, once a second.
import { setTimeout as sleep } from 'node:timers/promises';
import { CLOSE_CODES } from '@whereabouts/client/protocol';
import { Absences } from './absences.js';
import type { Socket } from './answers.js';
import { Conducts } from './conducts.js';
import { Connection, type ConnectionStart } from './connection.js';
import type { Departure } from './drivers.js';
import type { Edge } from './edge.js';
import { EVEN_PACE, maxPaceFactor, nextPace, type Pace } from './pace.js';

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

export class Connections {
  readonly #edge: Edge;
  readonly #byDriver = new Map<string, Connection>();
  readonly #absences: Absences;
  readonly #conducts: Conducts;
  readonly #maxPaceFactor: number;
  #pace: Pace = EVEN_PACE;

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

  /** How long a driver is kept out; 0 if it may try. The token is not verified yet, so the claim may be false. */
  pauseMs(driverId: string): number {
    return this.#conducts.find(driverId)?.pauseMs(this.#edge.clock.monotonicMs()) ?? 0;
  }

  /** A proven driver connects: 0, or for how long it is to stay away. */
  admitMs(driverId: string): number {
    const { clock } = this.#edge;
    const nowMs = clock.monotonicMs();
    return this.#conducts.of(driverId, nowMs).connect({ nowMs, stalledMs: clock.stalledMs(nowMs) });
  }

  open(start: Omit<ConnectionStart, 'conduct'>, socket: Socket): Connection {
    const { driverId } = start;
    const conduct = this.#conducts.of(driverId, this.#edge.clock.monotonicMs());
    const connection = new Connection(this.#edge, socket, { ...start, conduct });
    // Before it begins, which ends an older one.
    this.#byDriver.set(driverId, connection);
    this.#absences.returned(driverId);
    this.#conducts.connected(driverId);
    this.#edge.counters.upgrades++;
    connection.begin();
    return connection;
  }

  /** The socket of this connection has gone, for whatever reason. */
  closed(connection: Connection, code: number): void {
    this.#edge.counters.countClose(code);
    const { driverId, departure, isLeaving } = connection;
    connection.closed();
    const nowMs = this.#edge.clock.monotonicMs();
    if (STRIKES.has(code)) this.#conducts.of(driverId, nowMs).strike(nowMs);
    if (this.#byDriver.get(driverId) !== connection) return;
    this.#byDriver.delete(driverId);
    this.#conducts.left(driverId);
    // A newer connection speaks for the driver, or the bye did; a stopping server's drivers connect elsewhere.
    if (code === CLOSE_CODES.superseded || isLeaving || this.#edge.draining) return;
    this.#absences.left(driverId, departure, nowMs);
  }

  /** The connection of another process that took this driver from here has gone without a report. */
  handedBack(driverId: string): void {
    const { drivers } = this.#edge;
    const slot = drivers.find(driverId);
    if (slot === null || this.#byDriver.has(driverId) || this.#edge.draining) return;
    this.#recordOffline(driverId, {
      generation: drivers.generations[slot] as number,
      session: drivers.sessions[slot] as number,
      seq: (drivers.seqs[slot] as number) + 1,
    });
  }

  /** About once a second. */
  look(lagMs: number): void {
    const { clock, claims, recorder, settings } = this.#edge;
    const nowMs = clock.monotonicMs();
    const wallMs = clock.wallMs();
    // What may be in the sockets already is no silence.
    const heardByMs = nowMs - clock.stalledMs(nowMs);
    for (const connection of this.#byDriver.values()) connection.check(nowMs, heardByMs, wallMs);
    claims.look(nowMs);
    this.#conducts.forgetRested(nowMs);
    if (this.#edge.draining) return;
    this.#absences.takeDue(nowMs, (driverId, departure) => this.#recordOffline(driverId, departure));
    const load = { lagMs, pendingReports: recorder.pendingReports(), connections: this.size };
    this.#pace = nextPace(this.#pace, load, this.#maxPaceFactor);
    this.#edge.reportIntervalMs = settings.reportIntervalMs * this.#pace.factor;
  }

  /** Spread, so that the drivers do not all reconnect at the same moment. */
  async closeAll(code: number, reason: string, spreadMs: number): Promise<void> {
    const open = [...this.#byDriver.values()];
    const slices = Math.max(1, Math.ceil(Math.min(spreadMs, open.length) / SLICE_MS));
    const sliceSize = Math.ceil(open.length / slices);
    for (let at = 0; at < open.length; at += sliceSize) {
      if (at > 0) await sleep(SLICE_MS);
      for (const connection of open.slice(at, at + sliceSize)) connection.close(code, reason);
    }
  }

  #recordOffline(driverId: string, departure: Departure): void {
    const { drivers, recorder, clock, counters } = this.#edge;
    const slot = drivers.find(driverId);
    if (slot === null || !drivers.hasReported(slot) || drivers.isOffline(slot)) return;
    counters.offlineRecords++;
    drivers.putOffline(slot, departure, clock.storeNowMs(), clock.monotonicMs());
    recorder.submit(slot);
  }
}

function limitsOf({ settings }: Edge) {
  const { maxReportsPerS, maxReportsBurst, checkpointsPerMin, checkpointsBurst } = settings;
  return {
    reports: { perS: maxReportsPerS, burst: maxReportsBurst },
    checkpoints: { perS: checkpointsPerMin / 60, burst: checkpointsBurst },
  };
}

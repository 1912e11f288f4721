// The edge on a real port with a recorder that answers as it is told, and clocks that tests can push ahead.
import { setTimeout as sleep } from 'node:timers/promises';
import type { Durability, NackCode } from '@whereabouts/client/protocol';
import type { Position } from '@whereabouts/infra/position';
import { signDevelopmentToken } from '@whereabouts/infra/service/development-token';
import { createTokenVerifier } from '@whereabouts/infra/service/tokens';
import { LOCATION_SCOPE } from '../admission.js';
import type { Connection } from '../connection.js';
import { Connections } from '../connections.js';
import { Drivers, type Origin } from '../drivers.js';
import { Edge, type EdgeSettings, type ReportSink } from '../edge.js';
import { EdgeCounters } from '../edge-counters.js';
import { Gateway } from '../gateway.js';
import { ClockClaims } from './clock-claims.js';

export const TOKENS = {
  secret: 'only-for-tests-only-for-tests-only',
  issuer: 'whereabouts',
  audience: 'whereabouts-ingest',
};

const SETTINGS: EdgeSettings = {
  durability: 'cache',
  freshnessMs: 10_000,
  maxConnections: 1000,
  maxReportsPerS: 5,
  maxReportsBurst: 10,
  checkpointsPerMin: 10,
  checkpointsBurst: 20,
  reportIntervalMs: 2000,
  offlineAfterMs: 10_000,
};

/** What came of one report or checkpoint, to be answered as a test likes. */
class Submitted {
  readonly position: Position;
  readonly #drivers: Drivers;
  readonly #origin: Origin | null;
  /** A checkpoint that is its driver's newest place too. */
  moves = false;

  constructor(drivers: Drivers, position: Position, origin: Origin | null) {
    this.#drivers = drivers;
    this.position = position;
    this.#origin = origin;
  }

  get hasOrigin(): boolean {
    return this.#origin !== null;
  }

  accepted(durability: Durability = 'cache'): void {
    const { driverId, seq, recordedAtMs, session, checkpoint } = this.position;
    const slot = this.#drivers.find(driverId);
    if (checkpoint) this.#origin?.checkpointKept(seq, durability);
    if (checkpoint && !this.moves) return;
    if (slot !== null)
      this.#drivers.acknowledge(slot, session, recordedAtMs, { partition: 0, term: 1, revision: 1 });
    this.#origin?.accepted(seq, recordedAtMs, 1, durability);
  }

  refused(code: NackCode, retryAfterMs: number, detail: string): void {
    const { seq, recordedAtMs, checkpoint } = this.position;
    if (checkpoint) this.#origin?.checkpointRefused(seq, code, retryAfterMs, detail);
    else this.#origin?.refused(seq, recordedAtMs, code, retryAfterMs, detail);
  }

  persisted(): void {
    this.#origin?.checkpointPersisted(this.position.seq);
  }
}

export type Answer = (report: Submitted) => void;

export const accept: Answer = (report) => report.accepted();
export const holdBack: Answer = () => {};

class ToldRecorder implements ReportSink {
  readonly drivers = new Drivers();
  readonly submitted: Submitted[] = [];
  /** What happens to each report, at the end of the turn in which it came. */
  answer: Answer = accept;
  waiting = 0;
  pending = 0;

  submit(slot: number): void {
    const { archived: _, ...position } = this.drivers.positionOf(slot);
    const last = this.submitted.at(-1);
    if (last?.position.checkpoint && last.position.driverId === position.driverId) {
      // The same report: it is kept, and moves its driver.
      last.moves = last.position.seq === position.seq;
      if (last.moves) return;
    }
    const origin = this.drivers.origins[slot] ?? null;
    this.#submit(position, origin?.generation === this.drivers.generations[slot] ? origin : null);
  }

  keep(checkpoint: Position, origin: Origin): boolean {
    this.#submit(checkpoint, origin);
    return true;
  }

  waitingCheckpoints(driverId: string, besidesId: string): number {
    if (this.answer !== holdBack) return this.waiting;
    const ids = new Set(this.of(driverId).flatMap(({ checkpointId }) => checkpointId ?? []));
    ids.delete(besidesId);
    return ids.size;
  }

  pendingReports(): number {
    return this.pending;
  }

  of(driverId: string): Position[] {
    return this.reportsOf(driverId).map(({ position }) => position);
  }

  reportsOf(driverId: string): Submitted[] {
    return this.submitted.filter(({ position }) => position.driverId === driverId);
  }

  #submit(position: Position, origin: Origin | null): void {
    const report = new Submitted(this.drivers, position, origin);
    this.submitted.push(report);
    const answer = this.answer;
    setImmediate(() => answer(report));
  }
}

export class EdgeUnderTest {
  readonly recorder = new ToldRecorder();
  readonly counters = new EdgeCounters();
  readonly edge: Edge;
  readonly connections: Connections;
  gateway!: Gateway;
  unready: string | null = null;
  /** Never answers a token while it is set. */
  verifierHangs = false;
  /** How long the process has stood still just now, as it says. */
  stalledMs = 0;
  /** Tokens that have been verified. */
  verified = 0;
  #aheadMs = 0;

  private constructor(settings: EdgeSettings, verify: Edge['verify']) {
    this.edge = new Edge({
      settings,
      recorder: this.recorder,
      claims: new ClockClaims('test', () => this.nowMs()),
      counters: this.counters,
      clock: {
        storeNowMs: () => this.nowMs(),
        // Only tests move it, or a slow machine would refill what a flood has used up.
        monotonicMs: () => 1_000_000 + this.#aheadMs,
        wallMs: () => Date.now() + this.#aheadMs,
        stalledMs: () => this.stalledMs,
      },
      verify: async (token) => {
        if (this.verifierHangs) await new Promise(() => {});
        const admitted = await verify(token);
        this.verified++;
        return admitted;
      },
    });
    this.connections = new Connections(this.edge);
  }

  static async start(settings: Partial<EdgeSettings> = {}): Promise<EdgeUnderTest> {
    const verify = await createTokenVerifier(TOKENS);
    const under = new EdgeUnderTest({ ...SETTINGS, ...settings }, (token) => verify(token, LOCATION_SCOPE));
    under.gateway = await Gateway.listen({
      edge: under.edge,
      connections: under.connections,
      host: '127.0.0.1',
      port: 0,
      sharesPort: false,
      unready: () => under.unready,
      handshakeLimits: { inAll: 40, ofAddress: 20 },
    });
    return under;
  }

  /** The driver's connection. */
  connectionOf(driverId: string): Connection {
    const { drivers } = this.recorder;
    return drivers.origins[drivers.find(driverId) as number] as Connection;
  }

  get url(): string {
    return `ws://127.0.0.1:${this.gateway.port}/v1/stream`;
  }

  nowMs(): number {
    return Date.now() + this.#aheadMs;
  }

  /** Time passes, and the once-a-second look is taken at its end. */
  pass(ms: number): void {
    this.#aheadMs += ms;
    this.connections.look(0);
  }

  stop(): void {
    this.gateway.close();
  }
}

export function tokenFor(
  driverId: string,
  claims: { scope?: string; audience?: string; ttlS?: number } = {},
) {
  return signDevelopmentToken({
    ...TOKENS,
    subject: driverId,
    scope: claims.scope ?? LOCATION_SCOPE,
    audience: claims.audience ?? TOKENS.audience,
    ttlS: claims.ttlS ?? 3600,
  });
}

export async function until(what: string, holds: () => boolean, deadlineMs = 30_000): Promise<void> {
  const end = performance.now() + deadlineMs;
  while (!holds()) {
    if (performance.now() > end) throw new Error(`not within ${deadlineMs} ms: ${what}`);
    await sleep(5);
  }
}

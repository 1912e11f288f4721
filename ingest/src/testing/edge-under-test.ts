// The edge on a real port with a recorder that answers as it is told, and clocks that tests can push ahead.
import { setTimeout as sleep } from 'node:timers/promises';
import type { Position } from '@whereabouts/infra/position';
import { createTokenVerifier, signDevelopmentToken } from '@whereabouts/infra/service/tokens';
import { LOCATION_SCOPE } from '../admission.js';
import { Edge, type EdgeSettings } from '../edge.js';
import { EdgeCounters } from '../edge-counters.js';
import { Gateway } from '../gateway.js';
import type { Origin, ReportSink } from '../origin.js';
import { Sessions } from '../sessions.js';

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

export type Answer = (position: Position, origin: Origin | null) => void;

export const accept: Answer = (position, origin) => origin?.accepted(position, 'cache');
export const holdBack: Answer = () => {};

class ToldRecorder implements ReportSink {
  readonly submitted: Position[] = [];
  readonly origins: (Origin | null)[] = [];
  readonly #newest = new Map<string, Position>();
  /** What happens to each position, at the end of the turn in which it came. */
  answer: Answer = accept;
  waiting = 0;
  pending = 0;

  submit(position: Position, origin: Origin | null): void {
    this.submitted.push(position);
    this.origins.push(origin);
    const last = this.#newest.get(position.driverId);
    if (last === undefined || position.recordedAtMs >= last.recordedAtMs) {
      this.#newest.set(position.driverId, position);
    }
    const answer = this.answer;
    setImmediate(() => answer(position, origin));
  }

  lastKnown(driverId: string): Position | null {
    return this.#newest.get(driverId) ?? null;
  }

  /** As after a refusal that is not held. */
  forget(driverId: string): void {
    this.#newest.delete(driverId);
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
    return this.submitted.filter((position) => position.driverId === driverId);
  }
}

export class EdgeUnderTest {
  readonly recorder = new ToldRecorder();
  readonly counters = new EdgeCounters();
  readonly edge: Edge;
  readonly sessions: Sessions;
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
      counters: this.counters,
      clock: {
        storeNowMs: () => Date.now() + this.#aheadMs,
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
    this.sessions = new Sessions(this.edge);
  }

  static async start(settings: Partial<EdgeSettings> = {}): Promise<EdgeUnderTest> {
    const verify = await createTokenVerifier(TOKENS);
    const under = new EdgeUnderTest({ ...SETTINGS, ...settings }, (token) => verify(token, LOCATION_SCOPE));
    under.gateway = await Gateway.listen({
      edge: under.edge,
      sessions: under.sessions,
      host: '127.0.0.1',
      port: 0,
      sharesPort: false,
      unready: () => under.unready,
      handshakeLimits: { inAll: 40, ofAddress: 20 },
    });
    return under;
  }

  get url(): string {
    return `ws://127.0.0.1:${this.gateway.port}/v1/stream`;
  }

  nowMs(): number {
    return this.edge.clock.storeNowMs();
  }

  /** Time passes, and the once-a-second look is taken at its end. */
  pass(ms: number): void {
    this.#aheadMs += ms;
    this.sessions.look(0);
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

// What is promised, and whether it was kept. Pure: from what was measured to a verdict.
import type { AlarmSeen } from './alarm-watch.js';
import { type LossAudit, lostText, type PromiseVerdict, type RegionReport } from './report.js';

/** Milliseconds from the fault until the region takes writes again. */
export const DARK_BUDGET_MS = {
  withPromoter: { kill: 500, freeze: 1_500, restart: 1_000, back: 3_000 },
  alone: { kill: 3_000, freeze: 4_000, restart: 3_000, back: 3_000 },
} as const;
export type DarkKind = keyof (typeof DARK_BUDGET_MS)['alone'];

/** A new master's answers are incomplete for its first two seconds; then a second to find everybody. */
const WARMING_MS = 2_000;
const HEAL_SLACK_MS = 1_000;
/** Who comes back together within this, with a third of all, is a herd. */
export const HERD_MS = 100;
const HERD_PART = 1 / 3;
const ELSEWHERE_P99_FLOOR_MS = 50;
const ELSEWHERE_P99_FACTOR = 2;
/** The window is looked at twice a second; the rest is for a busy machine. */
const ALARM_SLACK_MS = 3_000;
/** After Postgres is back: the flusher's longest pause, and a pass. */
const CAUGHT_UP_MS = 10_000;
/** A frozen replica costs the wait that is under way and the report's own, 100 ms each; the rest is noise. */
const REPLICA_WAIT_MS = 200;
const REPLICA_NOISE_FLOOR_MS = 100;
/** The node timeout, in which the cluster sees that it is back, and the resynchronization. */
const REPLICATED_AGAIN_MS = 5_000;

export interface Expectation {
  /** null: nothing of the map may go dark. */
  darkMs: number | null;
  /** All drivers come back within this; null: no connection is expected to break. */
  reconnectMs: number | null;
  /** The other regions must not notice. */
  elsewhereUnharmed: boolean;
  /** The audit must find something, or nothing was proven. */
  mustLose: boolean;
  /** A master that was replaced comes back, and nobody may be answered from what it has. */
  comesBack: boolean;
  /** One that is sent while Postgres is away is persisted afterwards. */
  checkpoint: boolean;
  /** The loss budget is used up, which has to be told. */
  alarm: boolean;
  /** Acknowledgements go on without the replicas, as what they are. */
  replicaAway: boolean;
}

/** Of the region whose replica is frozen. */
export interface ReplicaAway {
  /** Nacks, and questions without a complete answer. */
  refused: number;
  slowestAckMs: number | null;
  ackP99BeforeMs: number | null;
  /** Of reports that were sent while it was frozen: acknowledged as `cache`, and as `replicated`. */
  cache: number;
  replicated: number;
  /** From its end until every partition was acknowledged as replicated again; null: never. */
  replicatedAgainMs: number | null;
}

export interface Evidence {
  expected: Expectation;
  faultLastsMs: number;
  regions: readonly RegionReport[];
  audit: LossAudit | null;
  /** Positions that every replica had, as drivers were told, and that were lost all the same; null: none was promised. */
  lostReplicated: number | null;
  /** Rows of Postgres that are not what the drivers were told; null: it could not be compared. */
  wrongRows: { wrong: number; of: number; first: string } | null;
  wholeAgain: boolean;
  /** Drivers who were answered with an older position than they were told, once a replaced master was back; null: not measured. */
  foundInThePast: number | null;
  reconnectedMs: number | null;
  /** The most connections within HERD_MS after the fault. */
  busiestReconnect: { connections: number; of: number };
  /** From the fault until `persisted` came of all checkpoints that were sent after it; null: not of all. */
  persistedMs: number | null;
  alarm: { budgetMs: number; seen: readonly AlarmSeen[] } | null;
  replicaAway: ReplicaAway | null;
}

const ms = (value: number | null) => (value === null ? 'never' : `${Math.round(value)} ms`);
const worst = (values: readonly (number | null)[]): number | null =>
  values.some((value) => value === null) ? null : Math.max(0, ...(values as number[]));

function within(promise: string, measuredMs: number | null, budgetMs: number, detail = ''): PromiseVerdict {
  return {
    promise,
    passed: measuredMs !== null && measuredMs <= budgetMs,
    measured: ms(measuredMs),
    budget: `at most ${budgetMs} ms`,
    detail,
  };
}

/** A budget that counts from the end of a fault: `at` is told from its beginning, as every time is. */
function withinAfter(
  promise: string,
  atMs: number | null,
  endedMs: number,
  budgetMs: number,
  detail = '',
): PromiseVerdict {
  const verdict = within(promise, atMs, endedMs + budgetMs, detail);
  if (endedMs === 0) return verdict;
  return {
    ...verdict,
    budget: `at most ${endedMs + budgetMs} ms: ${budgetMs} ms after the fault ended, at ${endedMs} ms`,
  };
}

function none(promise: string, count: number, detail = ''): PromiseVerdict {
  return { promise, passed: count === 0, measured: String(count), budget: 'none', detail };
}

function elsewhere(regions: readonly RegionReport[]): PromiseVerdict[] {
  const failures = regions.map((region) => {
    const nacked = Object.values(region.nacks).reduce((sum, count) => sum + count, 0);
    return { node: region.node, count: nacked + region.failedWrites + region.failedQuestions };
  });
  const failed = failures.reduce((sum, { count }) => sum + count, 0);
  const where = failures.filter(({ count }) => count > 0).map(({ node, count }) => `${node}: ${count}`);
  const slowest = regions.map(({ node, ackP99BeforeMs, ackP99DuringMs }) => {
    const budget = Math.max(ELSEWHERE_P99_FACTOR * (ackP99BeforeMs ?? 0), ELSEWHERE_P99_FLOOR_MS);
    return { node, before: ackP99BeforeMs, during: ackP99DuringMs, budget };
  });
  const over = slowest.filter(({ during, budget }) => during === null || during > budget);
  const shown = [...slowest].sort((a, b) => (b.during ?? 1e9) - (a.during ?? 1e9))[0];
  return [
    none('blast radius: failed writes and questions where nothing was broken', failed, where.join(', ')),
    {
      promise: 'latency elsewhere: p99 of acknowledgements',
      passed: over.length === 0,
      measured: `${ms(shown?.during ?? null)} (${ms(shown?.before ?? null)} before)`,
      budget: `at most twice that before, or ${ELSEWHERE_P99_FLOOR_MS} ms`,
      detail: over.map(({ node, during }) => `${node}: ${ms(during)}`).join(', '),
    },
  ];
}

function audited({ lost, counted, allowed, how }: LossAudit, mustLose: boolean): PromiseVerdict[] {
  const verdicts: PromiseVerdict[] = [];
  const measured = lost === null ? 'not measured' : lostText(lost);
  if (allowed !== null) {
    verdicts.push({
      promise: 'acknowledged positions lost',
      passed: lost !== null && lost.least <= allowed,
      measured,
      budget: `at most ${allowed}`,
      detail: how,
    });
  }
  if (mustLose) {
    verdicts.push({
      promise: 'something was lost, so that the audit is put to the test',
      passed: lost !== null && lost.least > 0,
      measured,
      budget: 'more than 0',
      detail: how,
    });
  }
  verdicts.push({
    promise: 'the loss audit of ingest equals the truth',
    passed: lost !== null && lost.least <= counted && counted <= lost.most,
    measured: `${counted} counted`,
    budget: lost === null ? 'not measured' : `${measured} lost in truth`,
    detail: how,
  });
  return verdicts;
}

function checkpointed(persistedMs: number | null, faultLastsMs: number): PromiseVerdict[] {
  const isEarly = persistedMs !== null && persistedMs < faultLastsMs;
  const promise = 'checkpoints that were sent while Postgres was away are persisted, and not before';
  const verdict = withinAfter(promise, persistedMs, faultLastsMs, CAUGHT_UP_MS);
  const detail = 'before Postgres was back';
  return [isEarly ? { ...verdict, passed: false, detail } : verdict];
}

function alarmed({ budgetMs, seen }: NonNullable<Evidence['alarm']>, faultLastsMs: number): PromiseVerdict[] {
  return seen.flatMap(({ source, raisedMs, endedMs }) => [
    within(
      `the alarm of ${source} comes: the loss window is above its budget`,
      raisedMs,
      budgetMs + ALARM_SLACK_MS,
    ),
    withinAfter(`... and goes when ${source} is within it again`, endedMs, faultLastsMs, CAUGHT_UP_MS),
  ]);
}

function withoutReplica(r: ReplicaAway, faultLastsMs: number): PromiseVerdict[] {
  const noiseMs = Math.round(Math.max(REPLICA_NOISE_FLOOR_MS, 2 * (r.ackP99BeforeMs ?? 0)));
  const meanwhile = `${r.cache} as cache, ${r.replicated} as replicated`;
  return [
    none('nobody is refused, and no question lacks the region', r.refused),
    within('slowest acknowledgement while the replica is frozen', r.slowestAckMs, REPLICA_WAIT_MS + noiseMs),
    {
      promise: 'acknowledged as what it is meanwhile: cache',
      passed: r.cache > 0 && r.replicated === 0,
      measured: meanwhile,
      budget: 'none as replicated',
      detail: '',
    },
    withinAfter('acknowledged as replicated again', r.replicatedAgainMs, faultLastsMs, REPLICATED_AGAIN_MS),
  ];
}

function noHerd({ connections, of }: Evidence['busiestReconnect']): PromiseVerdict {
  const most = Math.floor(of * HERD_PART);
  return {
    promise: `no thundering herd: connections in the busiest ${HERD_MS} ms`,
    passed: connections <= most,
    measured: `${connections}`,
    budget: `at most ${most}, a third of the drivers`,
    detail: '',
  };
}

export function judge(evidence: Evidence): PromiseVerdict[] {
  const { expected, regions, audit, lostReplicated, wrongRows, wholeAgain, reconnectedMs } = evidence;
  const { faultLastsMs } = evidence;
  const hit = regions.filter(({ affected }) => affected);
  const others = regions.filter(({ affected }) => !affected);
  const verdicts: PromiseVerdict[] = [];
  if (expected.elsewhereUnharmed) verdicts.push(...elsewhere(others));
  if (expected.darkMs !== null) {
    const dark = worst(hit.map(({ darkMs }) => darkMs));
    verdicts.push(withinAfter('time dark', dark, faultLastsMs, expected.darkMs));
    const budget = expected.darkMs + WARMING_MS + HEAL_SLACK_MS;
    const healed = worst(hit.map(({ healedMs }) => healedMs));
    const promise = 'time to heal: everybody found again in complete answers';
    verdicts.push(withinAfter(promise, healed, faultLastsMs, budget));
  }
  if (hit.length > 0) {
    const unheard = hit.reduce((sum, { failedWrites }) => sum + failedWrites, 0);
    verdicts.push(none('reports of the region that nothing was heard of', unheard));
  }
  if (expected.reconnectMs !== null) {
    const promise = 'every driver is connected again';
    verdicts.push(withinAfter(promise, reconnectedMs, faultLastsMs, expected.reconnectMs));
    verdicts.push(noHerd(evidence.busiestReconnect));
  }
  if (expected.comesBack) {
    verdicts.push({
      promise:
        'the master that comes back brings nothing back: drivers answered with an older position than before',
      passed: evidence.foundInThePast === 0,
      measured: evidence.foundInThePast === null ? 'not measured' : String(evidence.foundInThePast),
      budget: 'none',
      detail: '',
    });
  }
  if (expected.checkpoint) verdicts.push(...checkpointed(evidence.persistedMs, faultLastsMs));
  if (expected.alarm && evidence.alarm !== null) verdicts.push(...alarmed(evidence.alarm, faultLastsMs));
  if (evidence.replicaAway !== null) verdicts.push(...withoutReplica(evidence.replicaAway, faultLastsMs));
  if (lostReplicated !== null) {
    verdicts.push(none('lost although acknowledged as replicated', lostReplicated));
  }
  if (audit !== null) verdicts.push(...audited(audit, expected.mustLose));
  verdicts.push({
    promise: 'Postgres holds the truth at the end, row by row',
    passed: wrongRows?.wrong === 0,
    measured: wrongRows === null ? 'not compared' : `${wrongRows.wrong} of ${wrongRows.of} differ`,
    budget: 'none differs',
    detail: wrongRows?.first ?? '',
  });
  verdicts.push({
    promise: 'the cluster is whole again',
    passed: wholeAgain,
    measured: wholeAgain ? 'yes' : 'no',
    budget: 'every master with its replicas',
    detail: '',
  });
  return verdicts;
}

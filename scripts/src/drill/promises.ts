// The promises, and whether they were kept. Pure: from what was measured to a verdict.
import type { AlarmSeen } from './alarm-watch.js';
import { answered, elsewhere } from './answer-promises.js';
import { type LossAudit, lostText, type PromiseVerdict, type RegionReport } from './report.js';
import { figureOf, none, within, withinAfter, worst } from './verdicts.js';

/** Milliseconds from the fault until the region takes writes again. */
export const DARK_BUDGET_MS = {
  withPromoter: { kill: 500, freeze: 1_500, restart: 1_000, back: 3_000 },
  alone: { kill: 3_000, freeze: 4_000, restart: 3_000, back: 3_000 },
} as const;
export type DarkKind = keyof (typeof DARK_BUDGET_MS)['alone'];

/** Once the region takes writes: lost records are appended again, and query-api asks for news. */
const HEAL_SLACK_MS = 1_000;
/** A third of all drivers coming back within this time is a thundering herd. */
export const HERD_MS = 100;
const HERD_PART = 1 / 3;
/** The window is checked twice a second; the rest is for a busy machine. */
const ALARM_SLACK_MS = 3_000;
/** After Postgres is back: the flusher's longest pause, and a pass. */
const CAUGHT_UP_MS = 10_000;
/** A lost connection is retried within a second, and a stream is checked twice a second. */
const STREAM_MS = 2_000;
/** A frozen replica costs the wait in progress and the report's own, 100 ms each; the rest is noise. */
const REPLICA_WAIT_MS = 200;
const REPLICA_NOISE_FLOOR_MS = 100;
/** The node timeout, in which the cluster sees that it is back, and the resynchronization. */
const REPLICATED_AGAIN_MS = 5_000;

export interface Expectation {
  /** null: nothing of the map may go dark. */
  darkMs: number | null;
  /** Every driver who keeps reporting stays in the answers. */
  keepsDrivers: boolean;
  /** All drivers come back within this; null: no connection is expected to break. */
  reconnectMs: number | null;
  /** The other regions must not notice. */
  elsewhereUnharmed: boolean;
  /** The audit must find a loss, or the drill proves nothing. */
  mustLose: boolean;
  /** A replaced master comes back, and no answer may use its data. */
  comesBack: boolean;
  /** A checkpoint sent while Postgres is away is persisted afterwards. */
  checkpoint: boolean;
  /** The loss budget is used up, which must raise the alarm. */
  alarm: boolean;
  /** Acknowledgements continue without the replicas, with the durability that they have. */
  replicaAway: boolean;
}

/** For the region whose replica is frozen. */
export interface ReplicaAway {
  /** Nacks, and questions without a complete answer. */
  refused: number;
  slowestAckMs: number | null;
  ackP99BeforeMs: number | null;
  /** Reports sent while it was frozen, by acknowledgement: `cache` and `replicated`. */
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
  /** Positions that were acknowledged as held by every replica and still lost; null: none was promised. */
  lostReplicated: number | null;
  /** Rows of Postgres that differ from what was acknowledged to the drivers; null: it could not be compared. */
  wrongRows: { wrong: number; of: number; first: string } | null;
  wholeAgain: boolean;
  /**
   * Drivers who were answered with an older position than their acknowledged one, once a replaced master was back;
   * null: not measured.
   */
  foundInThePast: number | null;
  reconnectedMs: number | null;
  /** The most connections within HERD_MS after the fault. */
  busiestReconnect: { connections: number; of: number };
  /** From the fault until all checkpoints sent after it were `persisted`; null: not all were. */
  persistedMs: number | null;
  alarm: { budgetMs: number; seen: readonly AlarmSeen[] } | null;
  replicaAway: ReplicaAway | null;
  /** From the fault on, of all regions: until a stream showed what a question answers; null: it did not. */
  streamsTookMs: readonly (number | null)[];
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
      ...figureOf(lost?.least ?? null, 'count'),
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
    ...figureOf(connections, 'count'),
  };
}

/** For the broken region, and for all the others. */
function regional({ expected, regions, faultLastsMs }: Evidence): PromiseVerdict[] {
  const hit = regions.filter(({ affected }) => affected);
  const verdicts: PromiseVerdict[] = [];
  if (expected.elsewhereUnharmed) verdicts.push(...elsewhere(regions.filter(({ affected }) => !affected)));
  if (expected.darkMs !== null) {
    const dark = worst(hit.map(({ darkMs }) => darkMs));
    verdicts.push(withinAfter('time dark', dark, faultLastsMs, expected.darkMs));
    const healed = worst(hit.map(({ healedMs }) => healedMs));
    const promise = 'time to heal: everybody found again in complete answers';
    verdicts.push(withinAfter(promise, healed, faultLastsMs, expected.darkMs + HEAL_SLACK_MS));
  }
  if (expected.keepsDrivers) {
    const lacking = regions.reduce((sum, { answers }) => sum + answers.lacking, 0);
    verdicts.push(none('answers that lacked a driver who reports on', lacking));
  }
  if (hit.length > 0) {
    verdicts.push(...answered(hit, expected.darkMs === null ? 0 : faultLastsMs + expected.darkMs));
    const unheard = hit.reduce((sum, { failedWrites }) => sum + failedWrites, 0);
    verdicts.push(none('reports of the region that nothing was heard of', unheard));
  }
  return verdicts;
}

function streamed(tookMs: Evidence['streamsTookMs']): PromiseVerdict {
  const longest = tookMs.length === 0 ? null : worst(tookMs);
  const detail = tookMs.length === 0 ? 'not measured' : `${tookMs.length} looks`;
  return within(
    'streams show what questions answer, each second: the longest until one did',
    longest,
    STREAM_MS,
    detail,
  );
}

function cameBack(foundInThePast: number | null): PromiseVerdict {
  return {
    promise:
      'the master that comes back brings nothing back: drivers answered with an older position than before',
    passed: foundInThePast === 0,
    measured: foundInThePast === null ? 'not measured' : String(foundInThePast),
    budget: 'none',
    detail: '',
    ...figureOf(foundInThePast, 'count'),
  };
}

/** Once everything runs again. */
function atTheEnd({ wrongRows, wholeAgain }: Evidence): PromiseVerdict[] {
  return [
    {
      promise: 'Postgres holds the truth at the end, row by row',
      passed: wrongRows?.wrong === 0,
      measured: wrongRows === null ? 'not compared' : `${wrongRows.wrong} of ${wrongRows.of} differ`,
      budget: 'none differs',
      detail: wrongRows?.first ?? '',
      ...figureOf(wrongRows?.wrong ?? null, 'count'),
    },
    {
      promise: 'the cluster is whole again',
      passed: wholeAgain,
      measured: wholeAgain ? 'yes' : 'no',
      budget: 'every master with its replicas',
      detail: '',
    },
  ];
}

export function judge(evidence: Evidence): PromiseVerdict[] {
  const { expected, audit, lostReplicated, reconnectedMs, faultLastsMs, alarm, replicaAway } = evidence;
  const verdicts = regional(evidence);
  if (expected.reconnectMs !== null) {
    const promise = 'every driver is connected again';
    verdicts.push(withinAfter(promise, reconnectedMs, faultLastsMs, expected.reconnectMs));
    verdicts.push(noHerd(evidence.busiestReconnect));
  }
  verdicts.push(streamed(evidence.streamsTookMs));
  if (expected.comesBack) verdicts.push(cameBack(evidence.foundInThePast));
  if (expected.checkpoint) verdicts.push(...checkpointed(evidence.persistedMs, faultLastsMs));
  if (expected.alarm && alarm !== null) verdicts.push(...alarmed(alarm, faultLastsMs));
  if (replicaAway !== null) verdicts.push(...withoutReplica(replicaAway, faultLastsMs));
  if (lostReplicated !== null)
    verdicts.push(none('lost although acknowledged as replicated', lostReplicated));
  if (audit !== null) verdicts.push(...audited(audit, expected.mustLose));
  return [...verdicts, ...atTheEnd(evidence)];
}

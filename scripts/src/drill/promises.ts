// What is promised, and whether it was kept. Pure: from what was measured to a verdict.
import type { LossAudit, PromiseVerdict, RegionReport } from './report.js';

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
}

export interface Evidence {
  expected: Expectation;
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

function audited(
  { lost, counted, allowed, how, others = 0 }: LossAudit,
  mustLose: boolean,
): PromiseVerdict[] {
  const verdicts: PromiseVerdict[] = [];
  if (allowed !== null) {
    verdicts.push({
      promise: 'acknowledged positions lost',
      passed: lost !== null && lost <= allowed,
      measured: lost === null ? 'not measured' : String(lost),
      budget: `at most ${allowed}`,
      detail: '',
    });
  }
  if (mustLose) {
    verdicts.push({
      promise: 'something was lost, so that the audit is put to the test',
      passed: lost !== null && lost > 0,
      measured: lost === null ? 'not measured' : String(lost),
      budget: 'more than 0',
      detail: '',
    });
  }
  verdicts.push({
    promise:
      others === 0
        ? 'the loss audit of ingest equals the truth'
        : 'the loss audit of ingest is not below the truth',
    passed: lost !== null && (others === 0 ? lost === counted : lost <= counted),
    measured: `${counted} counted`,
    budget: lost === null ? 'not measured' : `${lost} lost in truth`,
    detail: how,
  });
  return verdicts;
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
  const hit = regions.filter(({ affected }) => affected);
  const others = regions.filter(({ affected }) => !affected);
  const verdicts: PromiseVerdict[] = [];
  if (expected.elsewhereUnharmed) verdicts.push(...elsewhere(others));
  if (expected.darkMs !== null) {
    verdicts.push(within('time dark', worst(hit.map(({ darkMs }) => darkMs)), expected.darkMs));
    const budget = expected.darkMs + WARMING_MS + HEAL_SLACK_MS;
    const healed = worst(hit.map(({ healedMs }) => healedMs));
    verdicts.push(within('time to heal: everybody found again in complete answers', healed, budget));
  }
  if (hit.length > 0) {
    const unheard = hit.reduce((sum, { failedWrites }) => sum + failedWrites, 0);
    verdicts.push(none('reports of the region that nothing was heard of', unheard));
  }
  if (expected.reconnectMs !== null) {
    verdicts.push(within('every driver is connected again', reconnectedMs, expected.reconnectMs));
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

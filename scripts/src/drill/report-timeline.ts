// The parts of a report that are drawn over time: one chart for each question, one line in it for each region.

import type { Line, LineChart, Mark } from '../report/line-chart.js';
import { clockAt } from '../report/wall-clock.js';
import { type DrillReport, faultAtMs, type RegionReport, type RegionSample, SAMPLE_MS } from './report.js';

/** The eye cannot separate more points than this, so neighbouring samples are merged. */
const MOST_POINTS = 800;

/** Not drawn if there are none: the table of regions says so. */
const REFUSALS = 'Refusals (nacks) a second';

type Measure = (samples: readonly RegionSample[]) => number | null;

const perSecond =
  (count: (sample: RegionSample) => number): Measure =>
  (samples) =>
    (sum(samples, count) * 1000) / (samples.length * SAMPLE_MS);

const MEASURES: readonly { title: string; unit: string; of: Measure }[] = [
  { title: 'Acknowledgements a second', unit: '/s', of: perSecond(({ acks }) => acks) },
  { title: 'Slowest acknowledgement', unit: 'ms', of: slowest },
  { title: 'Answers that were complete', unit: '%', of: completeShare },
  { title: REFUSALS, unit: '/s', of: perSecond(({ nacks }) => nacks) },
];

export function timeline(report: DrillReport): LineChart[] {
  const marks = marksOf(report);
  const zeroMs = faultAtMs(report);
  const isRefused = report.regions.some(({ samples }) => samples.some(({ nacks }) => nacks > 0));
  const drawn = isRefused ? MEASURES : MEASURES.filter(({ title }) => title !== REFUSALS);
  return drawn.map(({ title, unit, of }) => ({
    title,
    unit,
    lines: report.regions.map((region) => lineOf(region, of)),
    marks,
    fromMs: report.fromMs,
    toMs: report.toMs,
    originMs: 0,
    clock: (atMs) => clockAt(zeroMs + atMs),
  }));
}

function lineOf(region: RegionReport, of: Measure): Line {
  const together = Math.ceil(region.samples.length / MOST_POINTS);
  const samples: { atMs: number; value: number | null }[] = [];
  for (let i = 0; i < region.samples.length; i += together) {
    const stretch = region.samples.slice(i, i + together);
    samples.push({ atMs: stretch[0]?.atMs ?? 0, value: of(stretch) });
  }
  const { node, affected } = region;
  return { name: affected ? `${node} (hit)` : node, isStrong: affected, samples };
}

function marksOf(report: DrillReport): Mark[] {
  const { faultLastsMs, repairedAtMs } = report;
  const hit = report.regions.filter(({ affected }) => affected);
  const marks = [
    { atMs: 0, label: 'fault' },
    ...(faultLastsMs === 0 ? [] : [{ atMs: faultLastsMs, label: 'fault over' }]),
    ...at('writes again', greatest(hit, 'darkMs')),
    ...at('all found again', greatest(hit, 'healedMs')),
    { atMs: repairedAtMs, label: 'repaired' },
  ];
  return marks.sort((a, b) => a.atMs - b.atMs);
}

/** null: for one of them it never ended, or it is unknown. */
function greatest(regions: readonly RegionReport[], field: 'darkMs' | 'healedMs'): number | null {
  let most = 0;
  for (const { [field]: ms } of regions) {
    if (ms === null) return null;
    most = Math.max(most, ms);
  }
  return most;
}

function at(what: string, ms: number | null): Mark[] {
  return ms === null || ms === 0 ? [] : [{ atMs: ms, label: `${what} after ${Math.round(ms)} ms` }];
}

function slowest(samples: readonly RegionSample[]): number | null {
  const known = samples.map(({ slowestAckMs }) => slowestAckMs).filter((ms) => ms !== null);
  return known.length === 0 ? null : Math.max(...known);
}

function completeShare(samples: readonly RegionSample[]): number | null {
  const all = sum(samples, ({ complete, partial, failed }) => complete + partial + failed);
  return all === 0 ? null : (100 * sum(samples, ({ complete }) => complete)) / all;
}

function sum(samples: readonly RegionSample[], of: (sample: RegionSample) => number): number {
  return samples.reduce((total, sample) => total + of(sample), 0);
}

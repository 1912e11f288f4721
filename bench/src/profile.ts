// Where ingest's time goes under load: V8's own sampling profile of the whole process, of which only the samples taken
// while the load was steady are counted. Time outside of JavaScript (sockets, kernel) shows as `(program)` or not at
// all.

import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildPartitionMap } from '@whereabouts/infra/partition-map';
import { OwnStack } from '@whereabouts/scripts/stack/own-stack';
import type { Bench, BenchContext, BenchOutcome, Table } from './bench.js';
import { cityFleet } from './load/places.js';
import { CONNECTIONS_PER_PROCESS, INTERVAL_MS, stackCost, WARM_UP_S } from './measured-load.js';

const PROFILER = new URL('./profiler.js', import.meta.url).href;
const DEFAULTS = { drivers: CONNECTIONS_PER_PROCESS, seconds: 15 };
const SEED = 1;
const TOP = 25;

/** Of the Chrome DevTools protocol: Profiler.Profile, in microseconds. */
export interface CpuProfile {
  nodes: { id: number; callFrame: { functionName: string; url: string; lineNumber: number } }[];
  samples: number[];
  timeDeltas: number[];
  startTime: number;
  endTime: number;
}

export interface SelfTimes {
  /** Not idle, in us. */
  busyUs: number;
  /** Longest first, in us. */
  byFunction: [string, number][];
  byPart: [string, number][];
}

const FUNCTIONS_OF_V8 = /^\((?:program|garbage collector)\)$/;

function partOf(functionName: string, url: string): string {
  if (FUNCTIONS_OF_V8.test(functionName)) return functionName;
  if (url.startsWith('node:')) return 'node';
  const packaged = /node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(url);
  if (packaged) return packaged[1] as string;
  if (url === '') return 'native functions';
  return /\/([^/]+)\/dist\//.exec(url)?.[1] ?? 'others';
}

/** Of the time between `fromUs` and `toUs` before the profile's end. */
export function selfTimes(profile: CpuProfile, fromUs: number, toUs: number): SelfTimes {
  const frames = new Map(profile.nodes.map(({ id, callFrame }) => [id, callFrame]));
  const functions = new Map<string, number>();
  const parts = new Map<string, number>();
  let atUs = profile.startTime;
  let busyUs = 0;
  for (const [i, id] of profile.samples.entries()) {
    const tookUs = profile.timeDeltas[i] ?? 0;
    atUs += tookUs;
    const beforeEndUs = profile.endTime - atUs;
    const frame = frames.get(id);
    if (beforeEndUs > fromUs || beforeEndUs < toUs || !frame) continue;
    const { functionName, url, lineNumber } = frame;
    if (functionName === '(idle)' || functionName === '(root)') continue;
    busyUs += tookUs;
    const place = url === '' ? '' : ` ${url.split('/').slice(-2).join('/')}:${lineNumber + 1}`;
    const name = `${functionName || '(anonymous)'}${place}`;
    functions.set(name, (functions.get(name) ?? 0) + tookUs);
    const part = partOf(functionName, url);
    parts.set(part, (parts.get(part) ?? 0) + tookUs);
  }
  const sorted = (times: Map<string, number>) => [...times].sort(([, a], [, b]) => b - a);
  return { busyUs, byFunction: sorted(functions), byPart: sorted(parts) };
}

function tableOf(title: string, busyUs: number, times: readonly [string, number][]): Table {
  const percent = (us: number) => Number(((100 * us) / busyUs).toFixed(1));
  return { title, heads: ['', '% of the busy time'], rows: times.map(([name, us]) => [name, percent(us)]) };
}

async function run(context: BenchContext): Promise<BenchOutcome> {
  const seconds = context.seconds ?? DEFAULTS.seconds;
  const drivers = cityFleet(context.drivers ?? DEFAULTS.drivers, SEED);
  const dir = mkdtempSync(join(tmpdir(), 'whereabouts-profile-'));
  try {
    const own = await OwnStack.start(buildPartitionMap(drivers), {
      NODE_OPTIONS: `--import ${PROFILER}`,
      PROFILE_DIR: dir,
    });
    const pid = own.now.ingest.pids[0];
    let measuredAtMs = 0;
    let us = Number.NaN;
    try {
      context.say('profile: under load');
      const cost = await stackCost(own.now, drivers, seconds, { format: 'bin', ack: 'sparse' });
      measuredAtMs = Date.now();
      us = cost.cpuUs.ingest ?? Number.NaN;
    } finally {
      await own.stop();
    }
    const file = join(dir, `${pid}.cpuprofile`);
    // It is written when the process ends.
    const sinceUs = 1000 * (statSync(file).mtimeMs - measuredAtMs);
    const profile = JSON.parse(readFileSync(file, 'utf8')) as CpuProfile;
    const times = selfTimes(profile, sinceUs + 1e6 * (seconds - 1), sinceUs + 1e6);
    return {
      workload: `${drivers.length.toLocaleString('en')} drivers of one city (seed ${SEED}), binary, ack=sparse, a report every ${INTERVAL_MS / 1000} s; ${seconds - 2} s after ${WARM_UP_S} s to warm up`,
      figures: [
        {
          name: 'CPU of ingest for each position, while it is profiled',
          unit: 'us',
          measured: [us],
          baseline: null,
          goal: null,
        },
      ],
      tables: [
        tableOf('By part', times.busyUs, times.byPart),
        tableOf(`By function, the first ${TOP}`, times.busyUs, times.byFunction.slice(0, TOP)),
      ],
      notes: [
        'Self time of the main thread. `(program)` is native code: the event loop, uWebSockets.js, the kernel.',
      ],
    };
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

export const PROFILE: Bench = {
  about: 'Where the time of ingest goes under load, by function',
  run,
};

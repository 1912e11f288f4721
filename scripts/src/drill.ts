// `npm run drill`: breaks one thing under load and says whether what is promised about it was kept.

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { whyNoNamespace } from '@whereabouts/infra/local/network-namespace';
import { commandLine, isAlive, waitFor } from '@whereabouts/infra/local/server-process';
import { formatAddress } from '@whereabouts/infra/node-address';
import { buildPartitionMap, parsePartitionMap } from '@whereabouts/infra/partition-map';
import { type Arguments, givenPath, parseCommand, runMain, style, UsageError } from './cli.js';
import { pidOf } from './drill/cluster-view.js';
import type { Drill } from './drill/drill-kind.js';
import { DRILLS, givenDrill } from './drill/faults.js';
import { preview, previewText } from './drill/preview.js';
import type { DrillReport } from './drill/report.js';
import { type PageReport, reportPage } from './drill/report-page.js';
import { runDrill } from './drill/run-drill.js';
import type { Scene } from './drill/scene.js';
import { CITIES } from './fleet/cities.js';
import { fleetSample } from './fleet/simulated-driver.js';
import { home, START_SCRIPT } from './home.js';
import { keepHomePrivate } from './private-home.js';
import { gatherRunFacts } from './report/run-facts.js';
import { OwnStack } from './stack/own-stack.js';
import { findStack, type Stack } from './stack-file.js';
import { onStop } from './stop-signals.js';

const STOP_DEADLINE_MS = 20_000;
const NAMES = Object.keys(DRILLS);

const COMMAND = {
  name: 'run drill',
  about: 'Breaks one thing under load, watches from outside, and says whether each promise was kept.',
  positionals: 'NAME',
  options: {
    region: { value: 'LAT,LON', about: 'break the node that owns this place (one in the middle of the map)' },
    stack: { value: 'FILE', about: 'a stack.json of your own, for a cluster that `npm start` did not start' },
    'no-promoter': { about: 'without the promoter; for a stack that the drill starts itself' },
    inject: { value: 'CMD', about: 'break it with this command instead, and judge the same way' },
    heal: { value: 'CMD', about: 'with --inject: what puts it right again' },
  },
  notes: [
    'NAME is one of:',
    '  preview           what each node carries, before anything is broken',
    ...Object.entries(DRILLS).map(([name, { about }]) => `  ${name.padEnd(18)}${about}`),
    '  all               each in turn',
    '',
    'It drills the stack that `npm start` left running in this clone, else one that it starts for itself.',
    'isolate always runs on one of its own, and is skipped where that cannot be had; --region does not move it.',
    'Reports (JSON, and a page to look at) are written to .whereabouts/drills/.',
    'Exit status: 0 every promise kept (a skipped drill is no broken one), 1 not, 2 wrong usage.',
  ],
};

function verdictText(report: DrillReport): string {
  const lines = report.promises.map(({ promise, passed, measured, budget, detail }) => {
    const mark = passed ? style('green', 'kept  ') : style('red', 'BROKEN');
    return `  ${mark}  ${promise}: ${measured} (${budget})${detail && !passed ? `\n          ${detail}` : ''}`;
  });
  const notes = report.notes.map((note) => `  ${note}`);
  const verdict = report.passed ? style('green', 'passed') : style('red', 'FAILED');
  return [`${report.drill}: ${verdict} (all times count from the fault)`, ...lines, ...notes].join('\n');
}

function writeReport(report: PageReport): { json: string; page: string } {
  const dir = join(home, 'drills');
  const base = join(dir, `${report.drill}-${report.startedAt.replaceAll(':', '-')}`);
  writeFileSync(`${base}.json`, `${JSON.stringify(report, null, 1)}\n`);
  writeFileSync(`${base}.html`, reportPage(report));
  return { json: `${base}.json`, page: `${base}.html` };
}

/** Of `npm start` on this machine, whose nodes can be started again as they were. */
const isOurs = (stack: Stack): boolean => commandLine(stack.pid)?.includes(START_SCRIPT) === true;

function partitionAt(stack: Stack, place: string | undefined): number | undefined {
  if (place === undefined) return undefined;
  const [lat, lon, ...more] = place.split(',').map(Number);
  try {
    if (more.length > 0) throw new RangeError('two numbers are expected');
    const map = parsePartitionMap(readFileSync(stack.partitionMapFile, 'utf8'));
    return map.partitionOf(lat as number, lon as number);
  } catch (cause) {
    throw new UsageError(`--region: "${place}" is no place: ${(cause as Error).message}`, { cause });
  }
}

type NamedDrill = [name: string, drill: Drill];

function chosenDrills(args: Arguments): NamedDrill[] {
  const [inject, heal] = [args.text('inject'), args.text('heal')];
  const [name, ...more] = args.positionals;
  if ((inject === undefined) !== (heal === undefined))
    throw new UsageError('Give both of --inject and --heal.');
  if (inject !== undefined && heal !== undefined) {
    if (more.length > 0) throw new UsageError('Give at most one name to --inject.');
    return [[name ?? 'given', givenDrill(inject, heal)]];
  }
  if (name === 'all' && more.length === 0) return Object.entries(DRILLS);
  const drill = DRILLS[name ?? ''];
  if (name !== undefined && drill !== undefined && more.length === 0) return [[name, drill]];
  throw new UsageError(`Give one drill: preview, ${NAMES.join(', ')} or all.`);
}

let scene: Scene | undefined;
let ownStack: OwnStack | undefined;

/** Nothing stays frozen, and a stack of our own goes with its data; a second wish waits for nothing. */
function leaveOnStop(): void {
  onStop((_reason, byForce) => {
    scene?.thaw();
    if (byForce || ownStack === undefined) {
      console.error('Stopped in the middle of a drill: what was killed is not started again.');
      process.exit(1);
    }
    console.error('Stopped in the middle of a drill. Stopping its stack ...');
    void ownStack.stop().finally(() => process.exit(1));
  });
}

/** Progress and other words for people. */
function sayerOf(args: Arguments): (text: string) => void {
  if (!args.has('json')) return (text) => console.log(text);
  return (text) => console.log(JSON.stringify({ event: 'progress', text }));
}

async function runDrills(
  args: Arguments,
  drills: readonly NamedDrill[],
  stack: () => Stack,
  own: boolean,
): Promise<boolean> {
  let passed = true;
  for (const [name, drill] of drills) {
    const judged = await runDrill({
      name,
      drill,
      stack,
      own,
      ingestLog: join(home, 'drills', 'ingest.log'),
      partition: partitionAt(stack(), args.text('region')),
      say: sayerOf(args),
      onScene: (now) => {
        scene = now;
      },
    });
    const report = { ...judged, facts: await gatherRunFacts() };
    const files = writeReport(report);
    if (args.has('json')) console.log(JSON.stringify({ event: 'verdict', files, report }));
    else console.log(`${verdictText(report)}\n  ${files.page}\n`);
    passed &&= report.passed;
  }
  return passed;
}

async function previewOn(args: Arguments, stack: Stack): Promise<boolean> {
  const previews = await preview(stack);
  console.log(
    args.has('json') ? JSON.stringify({ event: 'preview', nodes: previews }) : previewText(previews),
  );
  return true;
}

function givenStack(file: string | undefined): (() => Stack) | null {
  if (file !== undefined) return () => JSON.parse(readFileSync(givenPath(file), 'utf8')) as Stack;
  const running = findStack();
  return running && (() => findStack() ?? running);
}

type Work = (stack: () => Stack, own: boolean) => Promise<boolean>;

async function onOwnStack(args: Arguments, options: readonly string[], work: Work): Promise<boolean> {
  const given = args.has('no-promoter') ? ['--no-promoter', ...options] : options;
  sayerOf(args)('Starting a stack for the drill ...');
  const own = await OwnStack.start(buildPartitionMap(fleetSample(CITIES, 1)), {}, given);
  ownStack = own;
  const nodes = own.now.redis.map(formatAddress);
  let pids: number[] = [];
  try {
    const passed = await work(() => own.now, true);
    pids = await Promise.all(nodes.map((address) => pidOf(own.now, address)));
    return passed;
  } finally {
    // What was started again ends a moment after the stack.
    ownStack = undefined;
    await own.stop(async () => {
      await waitFor('Redis has stopped', STOP_DEADLINE_MS, () => !pids.some(isAlive) || undefined);
    });
  }
}

/** On the given or running stack, else on one of their own. */
async function onStack(args: Arguments, breaks: boolean, work: Work): Promise<boolean> {
  const running = givenStack(args.text('stack'));
  if (running === null) return onOwnStack(args, [], work);
  if (args.has('no-promoter')) {
    throw new UsageError(
      '--no-promoter is for a stack that the drill starts itself: stop the one that runs.',
    );
  }
  if (breaks && args.text('inject') === undefined && !isOurs(running())) {
    throw new UsageError('That cluster is not ours to break: give --inject CMD and --heal CMD.');
  }
  return work(running, false);
}

/** Returns why they were skipped, or whether every promise was kept. */
async function inNamespace(args: Arguments, drills: readonly NamedDrill[]): Promise<string | boolean> {
  const lacking = await whyNoNamespace();
  if (lacking !== null) return lacking;
  const work: Work = (stack, own) => runDrills(args, drills, stack, own);
  return onOwnStack(args, ['--network-namespace'], work);
}

await runMain(async () => {
  const args = parseCommand(COMMAND);
  if (args.positionals[0] === 'preview') {
    process.exit((await onStack(args, false, (stack) => previewOn(args, stack()))) ? 0 : 1);
  }
  const chosen = chosenDrills(args);
  const isolating = chosen.filter(([, drill]) => drill.needsNamespace);
  const others = chosen.filter(([, drill]) => !drill.needsNamespace);
  keepHomePrivate(home);
  mkdirSync(join(home, 'drills'), { recursive: true });
  leaveOnStop();
  let passed = true;
  if (others.length > 0) {
    passed = await onStack(args, true, (stack, own) => runDrills(args, others, stack, own));
  }
  const isolated = isolating.length > 0 ? await inNamespace(args, isolating) : true;
  if (typeof isolated === 'string') {
    const names = isolating.map(([name]) => name).join(', ');
    if (args.has('json')) console.log(JSON.stringify({ event: 'skipped', drill: names, why: isolated }));
    else console.log(`${style('yellow', 'SKIPPED')} ${names}: ${isolated}.`);
  }
  process.exit(passed && isolated !== false ? 0 : 1);
});

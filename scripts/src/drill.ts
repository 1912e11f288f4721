// `npm run drill`: breaks one thing under load and says whether what is promised about it was kept.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { buildPartitionMap } from '@whereabouts/infra/partition-map';
import { parseCommand, runMain, style, UsageError } from './cli.js';
import { DRILLS } from './drill/faults.js';
import type { DrillReport } from './drill/report.js';
import { runDrill } from './drill/run-drill.js';
import { CITIES } from './fleet/cities.js';
import { fleetSample } from './fleet/simulated-driver.js';
import { home } from './home.js';
import { findStack, type Stack } from './stack-file.js';
import { StackUnderTest } from './testing/stack-under-test.js';

const NAMES = Object.keys(DRILLS);

const COMMAND = {
  name: 'run drill',
  about: 'Breaks one thing under load, watches from outside, and says whether each promise was kept.',
  positionals: 'NAME',
  options: {},
  notes: [
    ...Object.entries(DRILLS).map(([name, { about }]) => `  ${name.padEnd(18)}${about}`),
    '',
    'It drills the stack that `npm start` left running in this clone, else one that it starts for itself.',
    'The report is written to .whereabouts/drills/. Exit status: 0 every promise kept, 1 not, 2 wrong usage.',
  ],
};

function verdictText(report: DrillReport): string {
  const lines = report.promises.map(({ promise, passed, measured, budget, detail }) => {
    const mark = passed ? style('green', 'kept  ') : style('red', 'BROKEN');
    return `  ${mark}  ${promise}: ${measured} (${budget})${detail && !passed ? `\n          ${detail}` : ''}`;
  });
  return [
    `${report.drill}: ${report.passed ? style('green', 'passed') : style('red', 'FAILED')}`,
    ...lines,
  ].join('\n');
}

function writeReport(report: DrillReport): string {
  const dir = join(home, 'drills');
  mkdirSync(dir, { recursive: true });
  const file = join(dir, `${report.drill}-${report.startedAt.replaceAll(':', '-')}.json`);
  writeFileSync(file, `${JSON.stringify(report, null, 1)}\n`);
  return file;
}

async function drillAll(
  names: readonly string[],
  stack: () => Stack,
  own: boolean,
  json: boolean,
): Promise<boolean> {
  let passed = true;
  for (const name of names) {
    const drill = DRILLS[name];
    if (drill === undefined)
      throw new UsageError(`There is no drill ${name}. There are: ${NAMES.join(', ')}`);
    const say = (text: string) => console.error(text);
    const report = await runDrill({ name, drill, stack, own, partition: undefined, say });
    const file = writeReport(report);
    console.log(
      json
        ? JSON.stringify({ event: 'verdict', report: file, ...report })
        : `${verdictText(report)}\n  ${file}`,
    );
    passed &&= report.passed;
  }
  return passed;
}

await runMain(async () => {
  const args = parseCommand(COMMAND);
  const [name, ...more] = args.positionals;
  if (name === undefined || more.length > 0) throw new UsageError(`Give one drill: ${NAMES.join(', ')}`);
  if (DRILLS[name] === undefined)
    throw new UsageError(`There is no drill ${name}. There are: ${NAMES.join(', ')}`);
  const running = findStack();
  const json = args.has('json');
  if (running !== null) {
    process.exit((await drillAll([name], () => findStack() ?? running, true, json)) ? 0 : 1);
  }
  console.error('No stack runs in this clone: starting one for the drill ...');
  const own = await StackUnderTest.start(buildPartitionMap(fleetSample(CITIES, 1)));
  let passed = false;
  try {
    passed = await drillAll([name], () => own.now, true, json);
  } finally {
    await own.stop();
  }
  process.exit(passed ? 0 : 1);
});

// `npm run drill`: breaks one thing under load and reports whether the promises for it were kept.

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { whyNoNamespace } from '@whereabouts/infra/local/network-namespace';
import { parsePartitionMap } from '@whereabouts/infra/partition-map';
import { command, runMain, verb } from './cli.js';
import type { Drill } from './drill/drill-kind.js';
import {
  keepScene,
  leaveOnStop,
  onOwnStack,
  onStack,
  type StackChoice,
  type Work,
} from './drill/drill-stack.js';
import { DRILLS, givenDrill } from './drill/faults.js';
import {
  allHistories,
  forgetOldReports,
  HOW_JUDGED,
  historyOf,
  KEPT_REPORTS,
  readReports,
} from './drill/history.js';
import { historyText, howJudgedText } from './drill/history-text.js';
import { preview, previewText } from './drill/preview.js';
import type { DrillReport } from './drill/report.js';
import { type PageReport, reportPage } from './drill/report-page.js';
import { runDrill } from './drill/run-drill.js';
import { home } from './home.js';
import { placeNamed } from './places/city-list.js';
import { keepHomePrivate } from './private-home.js';
import { gatherRunFacts } from './report/run-facts.js';
import { createNarrator, type Narrator } from './stack/narrator.js';
import type { Stack } from './stack-file.js';
import { columnsOf, style, wrapText } from './terminal.js';
import { UsageError } from './usage-error.js';

const NAMES = Object.keys(DRILLS);
const PROGRESS = 'progress';
const REGION = 'must be LAT,LON such as 52.23,21.01, or the name of a city such as Warsaw';

interface Point {
  lat: number;
  lon: number;
  /** Of a city that was given by its name. */
  name?: string;
}

function pointIn(text: string): Point | null {
  const [, lat, lon] = /^\s*(-?\d+(?:\.\d+)?)\s*,\s*(-?\d+(?:\.\d+)?)\s*$/.exec(text) ?? [];
  if (lat === undefined || lon === undefined) return null;
  const point = { lat: Number(lat), lon: Number(lon) };
  if (Math.abs(point.lat) <= 90 && Math.abs(point.lon) <= 180) return point;
  throw new UsageError(`--region ${REGION}: ${text} is not on the globe`);
}

function cityNamed(text: string): Point | null {
  const place = /\p{L}/u.test(text) ? placeNamed(text) : null;
  return place && { ...place, name: `${place.name} (${place.country})` };
}

function region(text: string): Point {
  const point = pointIn(text) ?? cityNamed(text);
  if (point !== null) return point;
  throw new UsageError(`--region ${REGION}, got ${text}`);
}

const program = command('run drill', {
  about: 'Breaks one thing under load, watches from outside, and says whether each promise was kept.',
  examples: [
    'kill',
    'kill --region Warsaw',
    'freeze --region 52.23,21.01 --json',
    'all --no-promoter',
    'history',
  ],
  names: [
    ...Object.entries(DRILLS).map(([name, { about }]) => [name, about] as const),
    ['all', 'each in turn'],
  ],
  notes: [
    'It drills the stack that `npm start` left running in this clone, else one that it starts for itself. isolate always starts its own stack, and is skipped if that is not possible; --region does not move it.',
    `Reports (JSON, and a page to look at) are written to .whereabouts/drills/, the last ${KEPT_REPORTS} of each drill.`,
    'Exit status: 0 every promise kept (a skipped drill is no broken one), 1 not, 2 wrong usage.',
  ],
})
  .argument('[NAME]', 'which one')
  .option(
    '--region <PLACE>',
    'break the node that owns this place, LAT,LON or a city (default: one in the middle of the map)',
    region,
  )
  .option('--stack <FILE>', 'a stack.json of your own, for a cluster that `npm start` did not start')
  .option('--no-promoter', 'without the promoter; for a stack that the drill starts itself')
  .option('--inject <CMD>', 'break it with this command instead, and judge the same way')
  .option('--heal <CMD>', 'with --inject: the command that repairs it');

type Options = ReturnType<typeof program.opts>;

function verdictText(report: DrillReport): string {
  const lines = report.promises.map(({ promise, passed, measured, budget, detail }) => {
    const mark = passed ? style('green', 'kept  ') : style('red', 'BROKEN');
    const why = detail && !passed ? `\n${wrapText(`          ${detail}`, 10)}` : '';
    return wrapText(`  ${mark}  ${promise}: ${measured} (${budget})`, 10) + why;
  });
  const notes = report.notes.map((note) => wrapText(`  ${note}`, 2));
  const verdict = report.passed ? style('green', 'passed') : style('red', 'FAILED');
  return [`${report.drill}: ${verdict} (all times count from the fault)`, ...lines, ...notes].join('\n');
}

const reportsDir = join(home, 'drills');

function writeReport(report: PageReport): { json: string; page: string } {
  const base = join(reportsDir, `${report.drill}-${report.startedAt.replaceAll(':', '-')}`);
  const history = historyOf([...readReports(reportsDir), report]);
  writeFileSync(`${base}.json`, `${JSON.stringify(report, null, 1)}\n`);
  writeFileSync(`${base}.html`, reportPage(report, history));
  forgetOldReports(reportsDir, report.drill);
  return { json: `${base}.json`, page: `${base}.html` };
}

function partitionAt(stack: Stack, place: Point | undefined): number | undefined {
  if (place === undefined) return undefined;
  const map = parsePartitionMap(readFileSync(stack.partitionMapFile, 'utf8'));
  return map.partitionOf(place.lat, place.lon);
}

type NamedDrill = [name: string, drill: Drill];

function chosenDrills(name: string | undefined, { inject, heal }: Options): NamedDrill[] {
  if ((inject === undefined) !== (heal === undefined))
    throw new UsageError('Give both of --inject and --heal.');
  if (inject !== undefined && heal !== undefined) return [[name ?? 'given', givenDrill(inject, heal)]];
  if (name === 'all') return Object.entries(DRILLS);
  const drill = name === undefined ? undefined : DRILLS[name];
  if (name !== undefined && drill !== undefined) return [[name, drill]];
  const what = name === undefined ? 'Which drill?' : `No drill is called ${name}.`;
  throw new UsageError(`${what} There are: ${[...NAMES, 'all'].join(', ')}`);
}

async function runDrills(
  options: Options,
  narrator: Narrator,
  drills: readonly NamedDrill[],
  stack: () => Stack,
  own: boolean,
): Promise<boolean> {
  let passed = true;
  const { region: place } = options;
  if (place?.name !== undefined)
    narrator.say(`Region: ${place.name}, at ${place.lat}, ${place.lon}`, PROGRESS);
  for (const [name, drill] of drills) {
    const judged = await runDrill({
      name,
      drill,
      stack,
      own,
      ingestLog: join(reportsDir, 'ingest.log'),
      partition: partitionAt(stack(), place),
      say: (text) => narrator.say(text, PROGRESS),
      onScene: keepScene,
    });
    const report = { ...judged, facts: await gatherRunFacts() };
    const files = writeReport(report);
    narrator.say(`${verdictText(report)}\n  ${files.page}\n`, 'verdict', { files, report });
    passed &&= report.passed;
  }
  return passed;
}

/** Returns why they were skipped, or whether every promise was kept. */
async function inNamespace(choice: StackChoice, work: Work): Promise<string | boolean> {
  return (await whyNoNamespace()) ?? onOwnStack(choice, ['--network-namespace'], work);
}

const choiceOf = (options: Options, narrator: Narrator): StackChoice => ({
  ...options,
  say: (text) => narrator.say(text, PROGRESS),
});

program.action(async (name, options) => {
  const chosen = chosenDrills(name, options);
  const isolating = chosen.filter(([, drill]) => drill.needsNamespace);
  const others = chosen.filter(([, drill]) => !drill.needsNamespace);
  keepHomePrivate(home);
  mkdirSync(reportsDir, { recursive: true });
  leaveOnStop();
  const narrator = createNarrator(options.json === true);
  const choice = choiceOf(options, narrator);
  const run =
    (drills: readonly NamedDrill[]): Work =>
    (stack, own) =>
      runDrills(options, narrator, drills, stack, own);
  const passed = others.length > 0 ? await onStack(choice, true, run(others)) : true;
  const isolated = isolating.length > 0 ? await inNamespace(choice, run(isolating)) : true;
  if (typeof isolated === 'string') {
    const names = isolating.map(([name]) => name).join(', ');
    const text = `${style('yellow', 'SKIPPED')} ${names}: ${isolated}.`;
    narrator.say(text, 'skipped', { drill: names, why: isolated });
  }
  process.exit(passed && isolated !== false ? 0 : 1);
});

verb(program, 'preview', {
  about: 'What each node carries, and what would make a drill worse than it has to be; nothing is broken.',
  examples: ['', '--json'],
}).action(async () => {
  const options = program.opts();
  const narrator = createNarrator(options.json === true);
  leaveOnStop();
  const shown = await onStack(choiceOf(options, narrator), false, async (stack) => {
    const nodes = await preview(stack());
    narrator.say(previewText(nodes), 'preview', { nodes });
    return true;
  });
  process.exit(shown ? 0 : 1);
});

verb(program, 'history', {
  about:
    'Each promise over the runs on this machine, and whether the last run is worse than those before it.',
  examples: ['', 'kill', 'kill --json'],
  notes: [HOW_JUDGED, `The last ${KEPT_REPORTS} reports of each drill are kept.`],
})
  .argument('[NAME]', 'of this drill alone')
  .action((name) => {
    const histories = allHistories(readReports(reportsDir), name);
    if (histories.length === 0) {
      const of = name === undefined ? '' : ` of ${name}`;
      throw new UsageError(`There is no report${of} yet. Make one: npm run drill -- ${name ?? 'kill'}`);
    }
    const drills = { how_judged: HOW_JUDGED, kept_reports: KEPT_REPORTS, drills: histories };
    if (program.opts().json) console.log(JSON.stringify(drills));
    else
      console.log(
        [...histories.map((one) => `${historyText(one, columnsOf())}\n`), howJudgedText()].join('\n'),
      );
  });

await runMain(program);

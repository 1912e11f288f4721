// `npm run bench [-- NAME ...]`: the head of each bench's file says what it measures.
import { command, number, runMain } from '@whereabouts/scripts/cli';
import { gatherRunFacts } from '@whereabouts/scripts/report/run-facts';
import { style, tableText, wrapText } from '@whereabouts/scripts/terminal';
import { UsageError } from '@whereabouts/scripts/usage-error';
import { type Bench, type BenchContext, judge, NotInstalled } from './bench.js';
import { BENCHES } from './benches.js';
import {
  type BenchResult,
  FIGURE_HEADS,
  figureCells,
  metText,
  readResults,
  writePage,
  writeResult,
} from './results.js';
import { resultsPage } from './results-page.js';

/** Of the figures, left out if there is no room: spread, baseline, ratio. The files have them too. */
const SPARE = [4, 2, 3];

const program = command('run bench', {
  about: 'Measures, each figure against a baseline of the same run; nothing else should run meanwhile.',
  examples: ['', 'nearest update', 'knee --drivers 20000 --rounds 5', 'cost --json'],
  names: Object.entries(BENCHES).map(([name, { about }]) => [name, about]),
  notes: [
    'Each starts what it needs by itself. Results are written to bench/results/ as each ends, with a page to look at. All of them take more than an hour.',
  ],
})
  .argument('[NAME...]', 'which ones (default: all of them)')
  .option(
    '--drivers <N>',
    'how many drivers (default: as the bench says)',
    number('--drivers', { min: 1, max: 1_000_000 }),
  )
  .option('--seconds <N>', 'seconds of each measurement', number('--seconds', { min: 1, max: 3600 }))
  .option(
    '--rounds <N>',
    'the number of rounds, in alternation with the baseline',
    number('--rounds', { min: 1, max: 100 }),
  );

function chosen(names: readonly string[]): [string, Bench][] {
  if (names.length === 0) return Object.entries(BENCHES);
  return names.map((name) => {
    const bench = BENCHES[name];
    if (bench === undefined)
      throw new UsageError(`No bench is called ${name}. There are: ${Object.keys(BENCHES).join(', ')}`);
    return [name, bench];
  });
}

async function runBench(name: string, { about, run }: Bench, context: BenchContext): Promise<BenchResult> {
  const startedAt = new Date();
  const { figures, ...outcome } = await run(context);
  return {
    format: 1,
    bench: name,
    about,
    startedAt: startedAt.toISOString(),
    durationS: (Date.now() - startedAt.getTime()) / 1000,
    facts: await gatherRunFacts(),
    figures: figures.map(judge),
    ...outcome,
  };
}

function resultText({ bench, workload, figures, tables = [], notes = [] }: BenchResult): string {
  const rows = figures.map((figure) => {
    const cells = figureCells(figure);
    if (figure.met !== null) cells[6] = style(figure.met ? 'green' : 'red', metText(figure));
    return cells;
  });
  return [
    style('bold', bench),
    workload,
    '',
    ...(rows.length > 0 ? [tableText(FIGURE_HEADS, rows, { spare: SPARE }), ''] : []),
    ...tables.flatMap((table) => [table.title, tableText(table.heads, table.rows), '']),
    ...notes.map((note) => wrapText(`- ${note}`, 2)),
    '',
  ].join('\n');
}

program.action(async (names, { drivers, seconds, rounds, json: isJson = false }) => {
  const say = (text: string) =>
    isJson ? console.log(JSON.stringify({ event: 'progress', text })) : console.error(text);
  const context = { drivers, seconds, rounds, say };
  const all: BenchResult[] = [];
  const failed: string[] = [];
  const benches = chosen(names);
  let page = '';
  for (const [index, [name, bench]] of benches.entries()) {
    if (benches.length > 1) say(`${name}: ${index + 1} of ${benches.length} benches`);
    try {
      const result = await runBench(name, bench, context);
      all.push(result);
      const file = writeResult(result);
      console.log(isJson ? JSON.stringify({ event: 'result', file, result }) : resultText(result));
    } catch (error) {
      if (error instanceof NotInstalled) say(`SKIPPED ${name}: ${error.message}`);
      else {
        // The remaining benches are still worth running.
        failed.push(name);
        say(`FAILED ${name}: ${error instanceof Error ? error.stack : error}`);
      }
    }
    page = writePage(resultsPage(readResults()));
  }
  if (failed.length > 0) process.exitCode = 1;
  if (isJson) return;
  const judged = all.flatMap(({ figures }) => figures.filter(({ goal }) => goal !== null));
  if (all.length > 1) console.log(tableText(FIGURE_HEADS, judged.map(figureCells), { spare: SPARE }));
  const met = judged.filter((figure) => figure.met).length;
  console.log(`\n${met} of ${judged.length} goals met. ${page}`);
  if (failed.length > 0) console.error(style('red', `Failed: ${failed.join(', ')}.`));
});

await runMain(program);

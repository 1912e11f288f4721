// `npm run top`: the running stack at a glance, live in the terminal.
import { setTimeout as sleep } from 'node:timers/promises';
import { command, runMain } from './cli.js';
import { Places } from './places/places.js';
import { findStack, runningStack } from './stack-file.js';
import { onStop } from './stop-signals.js';
import { columnsOf } from './terminal.js';
import { Screen } from './top/screen.js';
import { type TopSnapshot, TopWatch } from './top/top-snapshot.js';
import { topText } from './top/top-text.js';

const REFRESH_MS = 1_000;

const program = command('run top', {
  about:
    'Shows the running stack: drivers and rates, the loss window against its budget, questions, what is dark, ' +
    'services, Redis nodes, and the partitions with the greatest loss window. Each second; q or Ctrl-C ends it.',
  examples: ['', '--once', '--once --json'],
  notes: [
    'Rates are those of the last seconds. If the output is no terminal, it is shown once. With --json at a terminal: a line each second.',
  ],
}).option('--once', 'show it once, and end');

/** Two looks, as rates need. */
async function lookTwice(watch: TopWatch): Promise<TopSnapshot> {
  await watch.look(runningStack());
  await sleep(REFRESH_MS);
  return watch.look(runningStack());
}

async function follow(
  watch: TopWatch,
  show: (snapshot: TopSnapshot) => void,
  ended: AbortSignal,
): Promise<void> {
  for (;;) {
    const stack = findStack();
    if (stack === null || ended.aborted) return;
    const snapshot = await watch.look(stack);
    if (ended.aborted) return;
    show(snapshot);
    await sleep(REFRESH_MS, undefined, { signal: ended }).catch(() => {});
  }
}

program.action(async ({ once, json }) => {
  runningStack();
  const places = new Places();
  const loaded = places.load().catch(() => {}); // then they are shown as geohashes
  const watch = new TopWatch(places);
  if (once || !process.stdout.isTTY) {
    await loaded;
    const snapshot = await lookTwice(watch);
    console.log(json ? JSON.stringify(snapshot) : topText(snapshot, columnsOf()).join('\n'));
    process.exit(0);
  }
  const ended = new AbortController();
  const quit = () => ended.abort();
  onStop(quit);
  let last: TopSnapshot | undefined;
  const draw = () => last && screen?.draw(topText(last, columnsOf()));
  const screen = json ? null : new Screen({ quit, resized: draw });
  screen?.draw(['Looking at the stack ...']);
  await follow(
    watch,
    (snapshot) => {
      last = snapshot;
      if (json) console.log(JSON.stringify(snapshot));
      else draw();
    },
    ended.signal,
  );
  screen?.close();
  if (!ended.signal.aborted) console.error('The stack has stopped.');
  process.exit(0);
});

await runMain(program);

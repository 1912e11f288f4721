// `npm start`: the whole pipeline on this machine, from a simulated fleet to the archive.
import { MissingServerError } from '@whereabouts/infra/local/find-servers';
import { runMain } from './cli.js';
import { readerToken } from './driver-tokens.js';
import { CITIES } from './fleet/cities.js';
import { traceExample } from './fleet/trace-map.js';
import { home, START_SCRIPT } from './home.js';
import { keepHomePrivate } from './private-home.js';
import { exampleIn, whatToTry } from './stack/advice.js';
import { createNarrator, type Narrator } from './stack/narrator.js';
import { START, type StackOptions, stackOptions } from './stack/options.js';
import { takePidLock } from './stack/pid-lock.js';
import { StartError, waitForDriver } from './stack/readiness.js';
import { RunningStack } from './stack/running-stack.js';
import { StatusWatch, statusText } from './stack/status-line.js';
import { type Stack, startLock } from './stack-file.js';
import { onStop } from './stop-signals.js';
import { style } from './terminal.js';
import { UsageError } from './usage-error.js';

/** A person leaves the map open. */
const MAP_TOKEN_TTL_S = 24 * 3600;

const STATUS_EVERY_MS = 1_000;

async function example(options: StackOptions) {
  if (options.replayFile !== null) return traceExample(options.replayFile);
  return exampleIn(CITIES[0] as (typeof CITIES)[number], `sim-${options.seed}-0`);
}

/** Shows the live line until the stop. */
async function watch(
  running: RunningStack,
  stack: Stack,
  narrator: Narrator,
  stopped: Promise<void>,
): Promise<void> {
  const watching = new StatusWatch({ ingest: stack.ingest.ops, flusher: stack.flusher.ops });
  let over = false;
  void stopped.then(() => {
    over = true;
  });
  while (!over) {
    running.refresh();
    const figures = await watching.look();
    const troubles = running.troubles();
    const text = figures && statusText(figures, process.stdout.columns || 120);
    const told = [...troubles.map((trouble) => style('red', trouble)), text].join('   ');
    if (!over && text !== null) narrator.status(told, { ...figures, troubles });
    await Promise.race([stopped, new Promise((resolve) => setTimeout(resolve, STATUS_EVERY_MS))]);
  }
}

async function runUntilStopped(
  running: RunningStack,
  options: StackOptions,
  narrator: Narrator,
  stopped: Promise<void>,
): Promise<void> {
  const tried = await example(options); // a trace without a position is reported before anything is started
  const stack = await running.start();
  if (stack === null) return;
  running.startFleet();
  narrator.say('Waiting until every partition answers ...', 'starting');
  if (await running.waitUntilComplete()) {
    // The printed commands should find a driver at once.
    if (options.drivers > 0 || options.replayFile !== null) {
      await waitForDriver(stack, tried.driverId, () => running.stopping);
    }
    const token = await readerToken(stack, MAP_TOKEN_TTL_S);
    narrator.say(`\n${whatToTry(stack, tried, token)}\n`, 'ready', { stack });
  } else if (!running.stopping) {
    narrator.say('Some partitions do not answer yet; see /v1/partitions of query-api.', 'incomplete');
  }
  await watch(running, stack, narrator, stopped);
}

/** Errors that a user can understand without a stack. */
function explanation(error: unknown): string {
  const { code } = error as NodeJS.ErrnoException;
  const plain =
    error instanceof StartError || error instanceof MissingServerError || error instanceof UsageError;
  return plain || code === 'ENOSPC' ? (error as Error).message : String((error as Error).stack ?? error);
}

/** One stack for each clone. */
function takeSingleRun(): () => void {
  keepHomePrivate(home);
  const lock = takePidLock(startLock(home), START_SCRIPT);
  if (lock.heldBy === null) return lock.release;
  throw new UsageError(`It is already running in this clone (process ${lock.heldBy}). Stop that one first.`);
}

START.action(async (given) => {
  const options = stackOptions(given);
  const release = takeSingleRun();
  const narrator = createNarrator(options.json);
  const running = new RunningStack(options, narrator, home);
  const stopped = new Promise<void>((resolve) => {
    onStop((_reason, byForce) => {
      running.wishToStop();
      resolve();
      if (!byForce) return;
      running.force();
      release();
      process.exit(1);
    });
  });
  let failed = false;
  try {
    await runUntilStopped(running, options, narrator, stopped);
  } catch (error) {
    failed = true;
    narrator.say(`\nIt could not start. ${explanation(error)}\n`, 'failed');
  }
  const clean = await running.stop();
  release();
  narrator.say(clean ? 'Stopped; nothing is left behind.' : 'Stopped, not all of it in good order.', 'ended');
  process.exit(failed || !clean ? 1 : 0);
});

await runMain(START);

// The stack for a drill: the running or given one, else a new one; and its cleanup if the drill is stopped midway.
import { readFileSync } from 'node:fs';
import { commandLine, isAlive, waitFor } from '@whereabouts/infra/local/server-process';
import { formatAddress } from '@whereabouts/infra/node-address';
import { buildPartitionMap } from '@whereabouts/infra/partition-map';
import { givenPath } from '../cli.js';
import { CITIES } from '../fleet/cities.js';
import { fleetSample } from '../fleet/simulated-driver.js';
import { START_SCRIPT } from '../home.js';
import { OwnStack } from '../stack/own-stack.js';
import { findStack, type Stack } from '../stack-file.js';
import { onStop } from '../stop-signals.js';
import { UsageError } from '../usage-error.js';
import { pidOf } from './cluster-view.js';
import type { Scene } from './scene.js';

const STOP_DEADLINE_MS = 20_000;

export interface StackChoice {
  /** A stack.json. */
  stack?: string | undefined;
  promoter: boolean;
  inject?: string | undefined;
  say(text: string): void;
}

export type Work = (stack: () => Stack, own: boolean) => Promise<boolean>;

/** Of `npm start` on this machine, whose nodes can be started again as they were. */
const isOurs = (stack: Stack): boolean => commandLine(stack.pid)?.includes(START_SCRIPT) === true;

let scene: Scene | undefined;
let ownStack: OwnStack | undefined;

/** Nothing stays frozen, and our own stack is removed with its data; a second request waits for nothing. */
export function leaveOnStop(): void {
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

/** Frozen processes are released when the drill is stopped. */
export function keepScene(now: Scene): void {
  scene = now;
}

function readGiven(file: string): Stack {
  try {
    return JSON.parse(readFileSync(givenPath(file), 'utf8')) as Stack;
  } catch (cause) {
    throw new UsageError(`--stack: ${file} cannot be read: ${(cause as Error).message}`, { cause });
  }
}

function givenStack(file: string | undefined): (() => Stack) | null {
  if (file !== undefined) return () => readGiven(file);
  const running = findStack();
  return running && (() => findStack() ?? running);
}

export async function onOwnStack(
  choice: StackChoice,
  options: readonly string[],
  work: Work,
): Promise<boolean> {
  const given = choice.promoter ? options : ['--no-promoter', ...options];
  choice.say('Starting a stack for the drill ...');
  const own = await OwnStack.start(buildPartitionMap(fleetSample(CITIES, 1)), {}, given);
  ownStack = own;
  const nodes = own.now.redis.map(formatAddress);
  let pids: number[] = [];
  try {
    const passed = await work(() => own.now, true);
    pids = await Promise.all(nodes.map((address) => pidOf(own.now, address)));
    return passed;
  } finally {
    // Processes that were restarted end a moment after the stack.
    ownStack = undefined;
    await own.stop(async () => {
      await waitFor('Redis has stopped', STOP_DEADLINE_MS, () => !pids.some(isAlive) || undefined);
    });
  }
}

/** On the given or running stack, else on a new one. */
export async function onStack(choice: StackChoice, breaks: boolean, work: Work): Promise<boolean> {
  const running = givenStack(choice.stack);
  if (running === null) return onOwnStack(choice, [], work);
  if (!choice.promoter) {
    throw new UsageError(
      '--no-promoter is for a stack that the drill starts itself: stop the one that runs.',
    );
  }
  if (breaks && choice.inject === undefined && !isOurs(running())) {
    throw new UsageError('That cluster is not ours to break: give --inject CMD and --heal CMD.');
  }
  return work(running, false);
}

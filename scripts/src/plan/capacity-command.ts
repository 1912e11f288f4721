// `npm run plan -- --drivers N` and `--table`: the options of a capacity plan, and what is printed.
import { type Arguments, UsageError } from '../cli.js';
import { QUESTIONS_PER_DRIVER_PER_S } from './assumptions.js';
import { planCapacity, TooMuch } from './capacity.js';
import type { Target } from './capacity-plan.js';
import { planTable, planText } from './capacity-text.js';
import { readCosts } from './measured-costs.js';
import { NotMeasured } from './required-costs.js';

const TABLE_DRIVERS = [10_000, 100_000, 1_000_000, 10_000_000];

export const CAPACITY_OPTIONS = {
  drivers: { value: 'N', about: 'how much is needed for so many drivers, from the costs measured here' },
  table: { about: 'the same for 10,000 to 10,000,000 drivers, in Markdown' },
  interval: { value: 'S', about: 'seconds between two reports of a driver (2)' },
  flush: { value: 'S', about: 'seconds between two flushes to Postgres (5)' },
  durability: { value: 'cache|replicated', about: 'what an acknowledgement waits for (cache)' },
  queries: {
    value: 'N',
    about: `questions/s (${QUESTIONS_PER_DRIVER_PER_S} for each driver)`,
  },
  frames: { value: 'bin|json', about: 'what drivers speak (bin)' },
  ack: { value: 'each|sparse', about: 'how often they hear an acknowledgement (sparse)' },
};

export const asksForCapacity = (args: Arguments): boolean =>
  args.has('table') || args.text('drivers') !== undefined;

/** Options of a capacity plan mean nothing without one, and the others nothing with it. */
export function refuseMixture(args: Arguments, others: readonly string[]): void {
  const givenOf = (names: readonly string[]) =>
    names.find((name) => args.has(name) || args.text(name) !== undefined);
  if (asksForCapacity(args)) {
    const given = givenOf(others);
    if (given !== undefined) throw new UsageError(`--${given} has nothing to do with --drivers and --table.`);
    return;
  }
  const given = givenOf(Object.keys(CAPACITY_OPTIONS));
  if (given !== undefined) throw new UsageError(`--${given} is for --drivers N or --table.`);
}

function choice<T extends string>(args: Arguments, name: string, values: readonly [T, ...T[]]): T {
  const given = args.text(name);
  if (given === undefined) return values[0];
  const value = values.find((one) => one === given);
  if (value === undefined) throw new UsageError(`--${name} must be ${values.join(' or ')}, not "${given}".`);
  return value;
}

/** The first of each choice is the default. */
export function targetOf(args: Arguments, drivers: number): Target {
  const seconds = (name: string, min: number, max: number) => args.number(name, { min, max, integer: false });
  return {
    drivers,
    intervalS: seconds('interval', 0.2, 600) ?? 2,
    flushIntervalS: seconds('flush', 0.1, 3600) ?? 5,
    durability: choice(args, 'durability', ['cache', 'replicated']),
    questionsPerS:
      args.number('queries', { min: 0, max: 100_000_000 }) ?? drivers * QUESTIONS_PER_DRIVER_PER_S,
    frames: choice(args, 'frames', ['bin', 'json']),
    ack: choice(args, 'ack', ['sparse', 'each']),
  };
}

function driversOf(args: Arguments): number[] {
  const drivers = args.number('drivers', { min: 1, max: 100_000_000 });
  if (!args.has('table')) return [drivers as number];
  if (drivers !== undefined || args.text('queries') !== undefined) {
    throw new UsageError('--table has numbers of drivers and questions of its own.');
  }
  return TABLE_DRIVERS;
}

export function runCapacity(args: Arguments): void {
  const isTable = args.has('table');
  const targets = driversOf(args).map((drivers) => targetOf(args, drivers));
  try {
    const costs = readCosts();
    const plans = targets.map((target) => planCapacity(target, costs));
    if (args.has('json')) for (const plan of plans) console.log(JSON.stringify(plan));
    else console.log(isTable ? planTable(plans) : plans.map(planText).join('\n'));
  } catch (error) {
    if (!(error instanceof NotMeasured || error instanceof TooMuch)) throw error;
    throw new UsageError(error.message, { cause: error });
  }
}

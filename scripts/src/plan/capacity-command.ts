// `npm run plan -- --drivers N` and `--table`: the options of a capacity plan, and what is printed.
import { type AnyCommand, type command, number, oneOf } from '../cli.js';
import { UsageError } from '../usage-error.js';
import { QUESTIONS_PER_DRIVER_PER_S } from './assumptions.js';
import { planCapacity, TooMuch } from './capacity.js';
import type { Target } from './capacity-plan.js';
import { planTable, planText } from './capacity-text.js';
import { readCosts } from './measured-costs.js';
import { NotMeasured } from './required-costs.js';

const TABLE_DRIVERS = [10_000, 100_000, 1_000_000, 10_000_000];

const seconds = (flag: string, min: number, max: number) => number(flag, { min, max, whole: false });

/** The first of each choice is the default. */
export const withCapacityOptions = (program: ReturnType<typeof command>) =>
  program
    .option(
      '--drivers <N>',
      'what this many drivers need, from the costs measured here',
      number('--drivers', { min: 1, max: 100_000_000 }),
    )
    .option('--table', 'the same for 10,000 to 10,000,000 drivers, in Markdown')
    .option('--interval <S>', 'seconds between two reports of a driver', seconds('--interval', 0.2, 600), 2)
    .option('--flush <S>', 'seconds between two flushes to Postgres', seconds('--flush', 0.1, 3600), 5)
    .option(
      '--durability <KIND>',
      'what an acknowledgement waits for: cache or replicated',
      oneOf('--durability', ['cache', 'replicated']),
      'cache' as const,
    )
    .option(
      '--queries <N>',
      `questions/s (default: ${QUESTIONS_PER_DRIVER_PER_S} for each driver)`,
      number('--queries', { min: 0, max: 100_000_000 }),
    )
    .option(
      '--frames <KIND>',
      'what drivers speak: bin or json',
      oneOf('--frames', ['bin', 'json']),
      'bin' as const,
    )
    .option(
      '--ack <KIND>',
      'how often they get an acknowledgement: each or sparse',
      oneOf('--ack', ['each', 'sparse']),
      'sparse' as const,
    );

export type CapacityOptions = ReturnType<ReturnType<typeof withCapacityOptions>['opts']>;

const OF_CAPACITY = ['drivers', 'table', 'interval', 'flush', 'durability', 'queries', 'frames', 'ack'];

export const asksForCapacity = ({ table, drivers }: CapacityOptions): boolean =>
  table === true || drivers !== undefined;

/** Options of a capacity plan mean nothing without one, and the others nothing with it. */
export function refuseMixture(program: AnyCommand): void {
  const given = program.options.filter((option) => {
    const name = option.attributeName();
    return name !== 'json' && program.getOptionValueSource(name) === 'cli';
  });
  const isCapacity = asksForCapacity(program.opts());
  const stray = given.find((option) => OF_CAPACITY.includes(option.attributeName()) !== isCapacity);
  if (stray === undefined) return;
  throw new UsageError(
    isCapacity
      ? `${stray.long} has nothing to do with --drivers and --table.`
      : `${stray.long} is for --drivers N or --table.`,
  );
}

export function targetOf(options: CapacityOptions, drivers: number): Target {
  const { interval, flush, durability, frames, ack, queries } = options;
  return {
    drivers,
    intervalS: interval,
    flushIntervalS: flush,
    durability,
    questionsPerS: queries ?? drivers * QUESTIONS_PER_DRIVER_PER_S,
    frames,
    ack,
  };
}

function driversOf({ drivers, table, queries }: CapacityOptions): number[] {
  if (!table) return [drivers as number];
  if (drivers !== undefined || queries !== undefined) {
    throw new UsageError('--table sets the numbers of drivers and questions itself.');
  }
  return TABLE_DRIVERS;
}

export function runCapacity(options: CapacityOptions): void {
  const targets = driversOf(options).map((drivers) => targetOf(options, drivers));
  try {
    const costs = readCosts();
    const plans = targets.map((target) => planCapacity(target, costs));
    if (options.json) for (const plan of plans) console.log(JSON.stringify(plan));
    else console.log(options.table ? planTable(plans) : plans.map(planText).join('\n'));
  } catch (error) {
    if (!(error instanceof NotMeasured || error instanceof TooMuch)) throw error;
    throw new UsageError(error.message, { cause: error });
  }
}

// The command line that all scripts share: --help with examples, --json, an unknown option with a suggestion, values
// within their bounds. Commander parses; a script declares its options once, and help and refusals follow.
//
//  Exit status: 0 done, 1 it failed, 2 wrong usage.
import { resolve } from 'node:path';
import { Command, CommanderError } from '@commander-js/extra-typings';
import { style } from './terminal.js';
import { UsageError } from './usage-error.js';

const EXIT_FAILED = 1;
const EXIT_USAGE = 2;

export interface Words {
  about: string;
  /** What is typed after `--`, or after the verb. */
  examples: readonly string[];
  /** The values of its argument, with a short description of each. */
  names?: readonly (readonly [name: string, about: string])[];
  /** Paragraphs at the end. */
  notes?: readonly string[];
}

// biome-ignore lint/suspicious/noExplicitAny: a command with whatever options and arguments
export type AnyCommand = Command<any, any, any>;

/** As it is typed: `npm run map -- build`. */
function pathOf(command: AnyCommand): string {
  return command.parent === null ? command.name() : `${pathOf(command.parent)} ${command.name()}`;
}

function belowOptions(command: AnyCommand, { examples, names = [], notes = [] }: Words): string {
  const help = command.createHelp();
  help.helpWidth = process.stdout.columns || 80;
  // Without options npm cannot swallow any.
  const typed = (example: string) => `${pathOf(command)} ${example}`.replace(/ --\s*$/, '').trimEnd();
  const title = (text: string) => ['', style('bold', text)];
  const width = Math.max(0, ...names.map(([name]) => name.length));
  return [
    ...(names.length > 0 ? title('Names:') : []),
    ...names.map(([name, about]) => help.formatItem(name, width, about, help)),
    ...title('Examples:'),
    ...examples.map((example) => `  ${typed(example)}`),
    ...(notes.length > 0 ? [''] : []),
    ...notes.map((note) => help.boxWrap(note, help.helpWidth ?? 80)),
  ].join('\n');
}

const explain = <C extends AnyCommand>(command: C, words: Words): C =>
  command
    .description(words.about)
    .allowExcessArguments(false)
    .addHelpText('after', () => belowOptions(command, words));

/** `name` as it is typed after npm: `start`, `run replay`. */
export function command(name: string, words: Words) {
  const made = new Command(`npm ${name} --`)
    .option('--json', 'for programs: JSON, one object a line')
    .helpOption('-h, --help', 'this text')
    .helpCommand(false)
    .configureHelp({ showGlobalOptions: true, styleTitle: (text) => style('bold', text) })
    // runMain reports errors.
    .configureOutput({ writeErr: () => {}, outputError: () => {} })
    .exitOverride();
  return explain(made, words);
}

/** A verb of a command, with its arguments and options: `npm run map -- build FILE`. */
export function verb<C extends AnyCommand>(parent: C, name: string, words: Words): ReturnType<C['command']> {
  return explain(parent.command(name), words) as ReturnType<C['command']>;
}

interface Bounds {
  min: number;
  max: number;
  /** Whole numbers only. */
  whole?: boolean;
}

const shown = (value: number): string => value.toLocaleString('en', { maximumFractionDigits: 3 });

/** The value of an option that is a number; `flag` as in `--drivers`. */
export function number(flag: string, { min, max, whole = true }: Bounds): (text: string) => number {
  return (text) => {
    const value = /^[-+]?(\d+\.?\d*|\.\d+)(e\d+)?$/i.test(text.trim()) ? Number(text) : Number.NaN;
    if (value >= min && value <= max && (!whole || Number.isInteger(value))) return value;
    const kind = whole ? 'a whole number' : 'a number';
    const got = text === '' ? 'nothing' : text;
    throw new UsageError(`${flag} must be ${kind} from ${shown(min)} to ${shown(max)}, got ${got}`);
  };
}

/** The value of an option that is one of a few words. */
export function oneOf<const T extends string>(flag: string, values: readonly T[]): (text: string) => T {
  return (text) => {
    const value = values.find((one) => one === text);
    if (value !== undefined) return value;
    throw new UsageError(`${flag} must be ${values.join(' or ')}, got ${text === '' ? 'nothing' : text}`);
  };
}

/**
 * npm swallows the option of `npm start --drivers 5`. No option may have a name that npm sets by itself, such as
 * --prefix.
 */
function refuseSwallowed(program: AnyCommand): void {
  const all = [program, ...program.commands].flatMap(({ options }) => options);
  for (const { long } of all) {
    const name = long?.slice(2) ?? '';
    // Options of npm itself.
    if (name === 'json' || process.env[`npm_config_${name.replaceAll('-', '_')}`] === undefined) continue;
    throw new UsageError(`npm took --${name} for itself. Put -- before it: ${program.name()} --${name}`);
  }
}

function explanationOf({ code, message }: CommanderError, program: AnyCommand): string {
  if (code === 'commander.help') return program.helpInformation();
  const verbs = program.commands.map((one) => one.name());
  const stray = [program, ...program.commands].flatMap(({ args }) => args).at(-1);
  const text =
    code === 'commander.excessArguments' && stray !== undefined
      ? `"${stray}" is not expected${verbs.includes(program.args[0] ?? '') || verbs.length === 0 ? '' : `; there is: ${verbs.join(', ')}`}`
      : message.replace(/^error: /, '');
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}\nSee: ${program.name()} --help`;
}

/** Reads the arguments and runs the command. Throws UsageError, and CommanderError once help was printed. */
export async function parse(program: AnyCommand, args = process.argv.slice(2)): Promise<void> {
  if (!args.includes('--help') && !args.includes('-h')) refuseSwallowed(program);
  try {
    await program.parseAsync(args, { from: 'user' });
  } catch (error) {
    if (!(error instanceof CommanderError) || error.exitCode === 0) throw error;
    throw new UsageError(explanationOf(error, program), { cause: error });
  }
}

/** A path relative to the caller's folder: npm changes to the project's folder before it runs us. */
export const givenPath = (path: string): string => resolve(process.env.INIT_CWD ?? process.cwd(), path);

/** Runs a script; errors that a person can fix are printed without a stack. */
export async function runMain(program: AnyCommand): Promise<void> {
  try {
    await parse(program);
  } catch (error) {
    if (error instanceof CommanderError) process.exit(0); // its help was printed
    console.error(error instanceof UsageError ? error.message : error);
    process.exit(error instanceof UsageError ? EXIT_USAGE : EXIT_FAILED);
  }
}

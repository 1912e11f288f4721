// What every script says and refuses in the same way: --help, --json, unknown options with a hint, numbers in their
// bounds. A script declares its options once; help, parsing and refusal follow from that.
import { resolve } from 'node:path';
import { parseArgs, styleText } from 'node:util';

export interface OptionSpec {
  /** The word for the value in the help; an option without it is a switch. */
  value?: string;
  about: string;
}

export interface Command {
  /** As it is typed after `npm`: `start`, `run replay`. */
  name: string;
  about: string;
  /** The words for positional arguments, for example `FILE`. */
  positionals?: string;
  options: Record<string, OptionSpec>;
  /** Lines below the options. */
  notes?: readonly string[];
}

export interface Arguments {
  positionals: string[];
  text(name: string): string | undefined;
  has(name: string): boolean;
  number(name: string, bounds: { min: number; max: number; integer?: boolean }): number | undefined;
}

/** Bad input from the person at the terminal: told in one line, without a stack. */
export class UsageError extends Error {
  readonly code = 'usage';
}

const COMMON: Record<string, OptionSpec> = {
  json: { about: 'machine-readable lines on stdout' },
  help: { about: 'this text' },
};

export const style = (format: Parameters<typeof styleText>[0], text: string): string =>
  process.stdout.isTTY && !process.env.NO_COLOR ? styleText(format, text) : text;

function helpText(command: Command): string {
  const options = { ...command.options, ...COMMON };
  const left = (name: string, spec: OptionSpec) => `  --${name}${spec.value ? ` ${spec.value}` : ''}`;
  const width = Math.max(...Object.entries(options).map(([name, spec]) => left(name, spec).length));
  const usage = ['npm', command.name, '--', command.positionals, '[options]'].filter(Boolean).join(' ');
  return [
    command.about,
    '',
    `Usage: ${usage}`,
    '',
    ...Object.entries(options).map(([name, spec]) => `${left(name, spec).padEnd(width)}  ${spec.about}`),
    ...(command.notes ? ['', ...command.notes] : []),
  ].join('\n');
}

function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const change = (row[j - 1] as number) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(change, (row[j] as number) + 1, (next[j - 1] as number) + 1));
    }
    row = next;
  }
  return row[b.length] as number;
}

function closest(name: string, known: readonly string[]): string | undefined {
  const ranked = known.map((candidate) => ({ candidate, d: distance(name, candidate) }));
  ranked.sort((a, b) => a.d - b.d);
  const best = ranked[0];
  return best && best.d <= Math.max(2, name.length / 3) ? best.candidate : undefined;
}

function refuseUnknown(args: readonly string[], command: Command, known: readonly string[]): void {
  for (const arg of args) {
    if (arg === '--') return;
    const name = /^--?([^=]+)/.exec(arg)?.[1];
    if (name === undefined || known.includes(name) || /^-\d/.test(arg)) continue;
    const hint = closest(name, known);
    const end = hint ? `Did you mean --${hint}?` : `See: npm ${command.name} -- --help`;
    throw new UsageError(`There is no option ${arg.split('=')[0]}. ${end}`);
  }
}

/** `npm start --drivers 5` gives the option to npm, which keeps it to itself. */
function refuseSwallowed(command: Command): void {
  for (const name of Object.keys(command.options)) {
    if (process.env[`npm_config_${name.replaceAll('-', '_')}`] === undefined) continue;
    throw new UsageError(`npm took --${name} for itself. Put -- before it: npm ${command.name} -- --${name}`);
  }
}

function readNumber(
  name: string,
  text: string,
  { min, max, integer = true }: { min: number; max: number; integer?: boolean },
): number {
  const value = text.trim() === '' ? Number.NaN : Number(text);
  if (value >= min && value <= max && (!integer || Number.isInteger(value))) return value;
  const kind = integer ? 'an integer' : 'a number';
  throw new UsageError(`--${name} must be ${kind} from ${min} to ${max}, not "${text}".`);
}

/** Reads the arguments, or prints the help and ends the process. Throws UsageError. */
export function parseCommand(command: Command, args = process.argv.slice(2)): Arguments {
  const options = { ...command.options, ...COMMON };
  const known = Object.keys(options);
  if (args.includes('--help') || args.includes('-h')) {
    console.log(helpText(command));
    process.exit(0);
  }
  refuseSwallowed(command);
  refuseUnknown(args, command, known);
  const config = Object.fromEntries(
    known.map((name) => [name, { type: options[name]?.value ? ('string' as const) : ('boolean' as const) }]),
  );
  let parsed: { values: Record<string, unknown>; positionals: string[] };
  try {
    parsed = parseArgs({ args, options: config, allowPositionals: true, strict: true });
  } catch (cause) {
    throw new UsageError((cause as Error).message, { cause });
  }
  const { values, positionals } = parsed;
  if (positionals.length > 0 && !command.positionals) {
    throw new UsageError(`"${positionals[0]}" is not expected. See: npm ${command.name} -- --help`);
  }
  const text = (name: string) => values[name] as string | undefined;
  return {
    positionals,
    text,
    has: (name) => values[name] === true,
    number: (name, bounds) => {
      const given = text(name);
      return given === undefined ? undefined : readNumber(name, given, bounds);
    },
  };
}

/** A path as the person meant it: npm changes to the project's folder before it runs us. */
export const givenPath = (path: string): string => resolve(process.env.INIT_CWD ?? process.cwd(), path);

/** Runs a script's main; what a person can put right is said in one line. */
export async function runMain(main: () => Promise<void>): Promise<void> {
  try {
    await main();
  } catch (error) {
    if (error instanceof UsageError) {
      console.error(error.message);
      process.exit(2);
    }
    console.error(error);
    process.exit(1);
  }
}

// `npm run token`: prints development tokens for the running stack, and nothing else, on stdout. It loads little, as
// people wait for it.
import { readFileSync } from 'node:fs';
import { DRIVER_ID } from '@whereabouts/infra/position';
import { signDevelopmentToken } from '@whereabouts/infra/service/development-token';
import { command, givenPath, number, oneOf, runMain } from './cli.js';
import { readSecret, runningStack } from './stack-file.js';
import { UsageError } from './usage-error.js';

const DAY_S = 24 * 3600;
const SCOPES = { 'location:write': 'ingest', 'drivers:read': 'query' } as const;
type Scope = keyof typeof SCOPES;
const READER = 'reader';

const program = command('run token', {
  about: 'Prints a token for the running stack: for a driver, for many, or for a reader of positions.',
  examples: [
    '--driver anna',
    '--scope drivers:read',
    '--drivers 500 > tokens.txt',
    '--drivers 3 --id-prefix load- --json',
    '--ids drivers.txt',
  ],
  notes: [
    'One token a line, in the order of the ids. With npm run -s npm itself keeps quiet, as in TOKEN=$(npm run -s token -- --driver anna).',
  ],
})
  .option('--driver <ID>', "the driver's id, 1 to 64 of A-Za-z0-9_-; scope location:write")
  .option(
    '--drivers <N>',
    'tokens for this many drivers: driver-0, driver-1, ...',
    number('--drivers', { min: 1, max: 1_000_000 }),
  )
  .option('--id-prefix <TEXT>', 'with --drivers: what their ids begin with', 'driver-')
  .option('--ids <FILE>', 'the drivers with the ids in a file, one a line; - is stdin')
  .option(
    '--scope <SCOPE>',
    'drivers:read or location:write',
    oneOf('--scope', Object.keys(SCOPES) as Scope[]),
  )
  .option(
    '--ttl-s <SECONDS>',
    'how long it is valid',
    number('--ttl-s', { min: 1, max: 365 * DAY_S }),
    DAY_S,
  );

type Options = ReturnType<typeof program.opts>;

function checkedId(id: string, where: string): string {
  if (DRIVER_ID.test(id)) return id;
  throw new UsageError(`${where} must be 1 to 64 of A-Za-z0-9_-, got ${id === '' ? 'nothing' : id}`);
}

function idsIn(given: string): string[] {
  const file = given === '-' ? 0 : givenPath(given);
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (cause) {
    throw new UsageError(`--ids: ${given} cannot be read: ${(cause as Error).message}`, { cause });
  }
  const lines = text.split('\n').map((line, i) => [line.trim(), i + 1] as const);
  const ids = lines.filter(([id]) => id !== '').map(([id, line]) => checkedId(id, `--ids: line ${line}`));
  if (ids.length === 0) throw new UsageError(`--ids: there is no id in ${given}`);
  return ids;
}

/** The subjects of the tokens; a reader if no driver is named. */
function subjectsOf({ driver, drivers, ids, idPrefix, scope }: Options): string[] {
  const given = [driver, drivers, ids].filter((value) => value !== undefined).length;
  if (given > 1) throw new UsageError('Give one of --driver ID, --drivers N and --ids FILE.');
  if (driver !== undefined) return [checkedId(driver, '--driver')];
  if (ids !== undefined) return idsIn(ids);
  if (drivers !== undefined) {
    checkedId(`${idPrefix}${drivers - 1}`, '--id-prefix with the number of a driver');
    return Array.from({ length: drivers }, (_, i) => `${idPrefix}${i}`);
  }
  if (scope === 'drivers:read') return [READER];
  throw new UsageError('Give --driver ID, --drivers N, --ids FILE or --scope drivers:read.');
}

program.action(async (options) => {
  const subjects = subjectsOf(options);
  const { scope = 'location:write', ttlS, json } = options;
  const stack = runningStack();
  const { issuer, audience } = stack.auth;
  const signed = { secret: readSecret(stack), issuer, audience: audience[SCOPES[scope]], scope, ttlS };
  const lines: string[] = [];
  for (const subject of subjects) {
    const token = await signDevelopmentToken({ ...signed, subject });
    lines.push(json ? JSON.stringify({ token, scope, subject, ttl_s: ttlS }) : token);
  }
  console.log(lines.join('\n'));
});

await runMain(program);

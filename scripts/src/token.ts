// `npm run token`: a development token for the running stack, alone on stdout.
import { signDevelopmentToken } from '@whereabouts/infra/service/tokens';
import { parseCommand, runMain, UsageError } from './cli.js';
import { readSecret, runningStack } from './stack-file.js';

const DRIVER_ID = /^[A-Za-z0-9_-]{1,64}$/;
const DAY_S = 24 * 3600;
const SCOPES = { 'location:write': 'ingest', 'drivers:read': 'query' } as const;

const COMMAND = {
  name: 'run token',
  about: 'Prints a token for the running stack: for a driver, or for a reader of positions.',
  options: {
    driver: { value: 'ID', about: "the driver's id, 1 to 64 of A-Za-z0-9_-; scope location:write" },
    scope: { value: 'SCOPE', about: 'drivers:read or location:write' },
    'ttl-s': { value: 'SECONDS', about: `how long it is valid (${DAY_S})` },
  },
  notes: ['Examples:', '  npm run -s token -- --driver anna', '  npm run -s token -- --scope drivers:read'],
};

function chosenScope(scope: string | undefined, driver: string | undefined): keyof typeof SCOPES {
  if (scope === undefined && driver !== undefined) return 'location:write';
  if (scope === undefined) throw new UsageError('Give --driver ID or --scope drivers:read.');
  if (scope in SCOPES) return scope as keyof typeof SCOPES;
  throw new UsageError(`--scope must be one of ${Object.keys(SCOPES).join(', ')}, not "${scope}".`);
}

await runMain(async () => {
  const args = parseCommand(COMMAND);
  const driver = args.text('driver');
  const scope = chosenScope(args.text('scope'), driver);
  if (scope === 'location:write' && driver === undefined)
    throw new UsageError('Give the driver: --driver ID.');
  if (driver !== undefined && !DRIVER_ID.test(driver)) {
    throw new UsageError(`--driver must be 1 to 64 of A-Za-z0-9_-, not "${driver}".`);
  }
  const ttlS = args.number('ttl-s', { min: 1, max: 365 * DAY_S }) ?? DAY_S;
  const stack = runningStack();
  const token = await signDevelopmentToken({
    secret: readSecret(stack),
    issuer: stack.auth.issuer,
    audience: stack.auth.audience[SCOPES[scope]],
    subject: driver ?? 'reader',
    scope,
    ttlS,
  });
  console.log(
    args.has('json') ? JSON.stringify({ token, scope, subject: driver ?? 'reader', ttl_s: ttlS }) : token,
  );
});

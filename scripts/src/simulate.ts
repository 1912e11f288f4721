// `npm run simulate`: seeded drivers on plausible paths, over real connections.
import { parseCommand, runMain, UsageError } from './cli.js';
import { driverTokens } from './driver-tokens.js';
import { CITIES, type City, findCities } from './fleet/cities.js';
import type { DriverTotals } from './fleet/driver-totals.js';
import { Fleet } from './fleet/fleet.js';
import { createNarrator } from './stack/narrator.js';
import { runningStack } from './stack-file.js';
import { onStop } from './stop-signals.js';

const NAMES = CITIES.map(({ name }) => name).join(',');
const STATUS_EVERY_MS = 1_000;

const COMMAND = {
  name: 'run simulate',
  about: 'Drives simulated drivers through several cities and reports where they are to the running stack.',
  options: {
    drivers: { value: 'N', about: 'how many (100)' },
    seed: { value: 'N', about: 'the same drivers for the same number (2; `npm start` has 1)' },
    cities: { value: 'LIST', about: `where: ${NAMES} (all)` },
    pace: { value: 'X', about: 'how much faster than usual they drive (1)' },
    'off-duty': { value: 'PART', about: 'how many go off duty after a trip, 0 to 1 (0.15)' },
    'interval-ms': { value: 'MS', about: 'how often each reports (2000)' },
    'duration-s': { value: 'S', about: 'end after so long; else at Ctrl-C' },
  },
  notes: ['Acknowledgements are asked for sparsely: what is shown as acknowledged is up to 10 s behind.'],
};

function chosenCities(list: string | undefined): readonly City[] {
  if (list === undefined) return CITIES;
  const { found, unknown } = findCities(list.split(',').map((name) => name.trim()));
  if (unknown.length > 0)
    throw new UsageError(`--cities: no city is called ${unknown.join(', ')}. There are: ${NAMES}`);
  return found;
}

function statusText({
  on_duty,
  connected,
  sent,
  acknowledged,
  trips,
  refused,
}: ReturnType<Fleet['totals']>): string {
  const parts = [
    `${on_duty} on duty`,
    `${connected} connected`,
    `${sent} sent`,
    `${acknowledged} acknowledged`,
  ];
  parts.push(`${trips} trips ended`);
  const refusals = Object.entries(refused).map(([code, count]) => `${code} ${count}`);
  return [...parts, ...(refusals.length > 0 ? [`refused: ${refusals.join(', ')}`] : [])].join('  ');
}

await runMain(async () => {
  const args = parseCommand(COMMAND);
  const stack = runningStack();
  const fleet = new Fleet({
    url: stack.ingest.url,
    tokenFor: driverTokens(stack),
    drivers: args.number('drivers', { min: 1, max: 100_000 }) ?? 100,
    seed: args.number('seed', { min: 0, max: 2 ** 31 }) ?? 2,
    cities: chosenCities(args.text('cities')),
    habits: {
      pace: args.number('pace', { min: 0, max: 100, integer: false }) ?? 1,
      offDuty: args.number('off-duty', { min: 0, max: 1, integer: false }) ?? 0.15,
    },
    reportIntervalMs: args.number('interval-ms', { min: 200, max: 600_000 }) ?? 2_000,
  });
  const narrator = createNarrator(args.has('json'));
  const durationS = args.number('duration-s', { min: 1, max: 10_000_000, integer: false });
  fleet.start();
  const status = setInterval(() => {
    const totals = fleet.totals();
    narrator.status(statusText(totals), totals satisfies DriverTotals);
  }, STATUS_EVERY_MS);
  await new Promise<void>((resolve) => {
    onStop((_reason, byForce) => (byForce ? process.exit(1) : resolve()));
    if (durationS !== undefined) setTimeout(resolve, durationS * 1000);
  });
  clearInterval(status);
  await fleet.stop();
  const totals = fleet.totals();
  narrator.say(statusText(totals), 'ended', totals);
  process.exit(0);
});

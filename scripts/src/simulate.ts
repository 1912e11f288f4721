// `npm run simulate`: seeded drivers on plausible paths, over real connections.
import { command, number, runMain } from './cli.js';
import { driverTokens } from './driver-tokens.js';
import { CITIES, type City, findCities } from './fleet/cities.js';
import type { DriverTotals } from './fleet/driver-totals.js';
import { Fleet } from './fleet/fleet.js';
import { createNarrator } from './stack/narrator.js';
import { runningStack } from './stack-file.js';
import { onStop } from './stop-signals.js';
import { UsageError } from './usage-error.js';

const NAMES = CITIES.map(({ name }) => name).join(',');
const STATUS_EVERY_MS = 1_000;

function chosenCities(list: string): readonly City[] {
  const { found, unknown } = findCities(
    list.split(',').map((name) => name.trim().toLowerCase().replaceAll(' ', '-')),
  );
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

const program = command('run simulate', {
  about: 'Drives simulated drivers through several cities and reports where they are to the running stack.',
  examples: ['--drivers 2000', '--cities warsaw,nairobi --pace 4', '--drivers 50 --duration-s 60 --json'],
  notes: ['It asks for sparse acknowledgements, so the number shown as acknowledged is up to 10 s behind.'],
})
  .option('--drivers <N>', 'how many', number('--drivers', { min: 1, max: 100_000 }), 100)
  .option(
    '--seed <N>',
    'seed: the same number gives the same drivers; `npm start` uses 1',
    number('--seed', { min: 0, max: 2 ** 31 }),
    2,
  )
  .option('--cities <LIST>', `where: ${NAMES}`, chosenCities)
  .option(
    '--pace <X>',
    'how much faster than usual they drive',
    number('--pace', { min: 0, max: 100, whole: false }),
    1,
  )
  .option(
    '--off-duty <PART>',
    'share of drivers that go off duty after a trip, 0 to 1',
    number('--off-duty', { min: 0, max: 1, whole: false }),
    0.15,
  )
  .option(
    '--interval-ms <MS>',
    'how often each reports',
    number('--interval-ms', { min: 200, max: 600_000 }),
    2_000,
  )
  .option(
    '--duration-s <S>',
    'how long to run (default: until Ctrl-C)',
    number('--duration-s', { min: 1, max: 10_000_000, whole: false }),
  )
  .action(async ({ drivers, seed, cities = CITIES, pace, offDuty, intervalMs, durationS, json = false }) => {
    const stack = runningStack();
    const fleet = new Fleet({
      url: stack.ingest.url,
      tokenFor: driverTokens(stack),
      drivers,
      seed,
      cities,
      habits: { pace, offDuty },
      reportIntervalMs: intervalMs,
    });
    const narrator = createNarrator(json);
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

await runMain(program);

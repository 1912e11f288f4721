// `npm run replay`: the vehicles of a trace as drivers, each with its own socket, as if it happened now.
import { stat } from 'node:fs/promises';
import { DriverClient } from '@whereabouts/client/driver-client';
import type { MalformedLine, PositionCsv } from '@whereabouts/infra/position-csv';
import { command, givenPath, number, runMain } from './cli.js';
import { driverTokens } from './driver-tokens.js';
import { closeAll, TotalsOfClients } from './fleet/driver-totals.js';
import { TraceClock } from './fleet/trace-clock.js';
import { type TraceFile, withTrace } from './fleet/trace-file.js';
import { createNarrator } from './stack/narrator.js';
import { runningStack } from './stack-file.js';
import { onStop } from './stop-signals.js';

const STATUS_EVERY_MS = 1_000;
const SETTLE_MS = 5_000;

interface Progress {
  rows: number;
  malformed: number;
  /** The first of them. */
  passed_over: MalformedLine[];
  vehicles: number;
  leaps: number;
  percent: number;
}

class Replay {
  readonly totals = new TotalsOfClients();
  readonly #clients = new Map<string, DriverClient>();
  readonly #url: string;
  readonly #tokenFor: (id: string) => Promise<string>;
  #reported = 0;
  #stopped = false;

  constructor(url: string, tokenFor: (id: string) => Promise<string>) {
    this.#url = url;
    this.#tokenFor = tokenFor;
  }

  get vehicles(): number {
    return this.#clients.size;
  }

  stop(): void {
    this.#stopped = true;
  }

  async run(rows: PositionCsv, clock: TraceClock, limit: number): Promise<void> {
    for await (const { vehicleId, unixMs, lat, lon } of rows) {
      if (this.#stopped) return;
      const waitMs = clock.dueAtMs(unixMs) - performance.now();
      if (waitMs > 1) await new Promise((resolve) => setTimeout(resolve, waitMs));
      this.#client(vehicleId).report({ lat, lon });
      this.#reported++;
      if (rows.rows >= limit) return;
    }
  }

  /** Until every report was sent, or replaced by one that was, and is answered; or until nothing more arrives. */
  async settle(): Promise<void> {
    const until = performance.now() + SETTLE_MS;
    while (performance.now() < until) {
      const { sent, resent, thinned, acknowledged, refused } = this.totals.now();
      const answered = acknowledged + Object.values(refused).reduce((sum, count) => sum + count, 0);
      if (sent - resent + thinned >= this.#reported && answered >= sent) return;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  #client(id: string): DriverClient {
    const known = this.#clients.get(id);
    if (known) return known;
    // Each report is acknowledged, for the summary at the end.
    const client = new DriverClient({ url: this.#url, getToken: () => this.#tokenFor(id), ack: 'each' });
    this.#clients.set(id, client);
    this.totals.add(client);
    return client;
  }
}

function report(
  totals: ReturnType<TotalsOfClients['now']>,
  progress: Progress,
  passedOver: string | null,
): string {
  const refused = Object.entries(totals.refused);
  return [
    `rows read      ${progress.rows}`,
    `vehicles       ${progress.vehicles}`,
    `sent           ${totals.sent}`,
    `acknowledged   ${totals.acknowledged}`,
    `thinned        ${totals.thinned} (a newer one came before they could go out)`,
    `leaps          ${progress.leaps}`,
    ...(refused.length === 0
      ? ['refused        0']
      : refused.map(([code, n]) => `refused        ${n} ${code}`)),
    ...(passedOver === null ? [] : [passedOver]),
  ].join('\n');
}

function interruption(replay: Replay): Promise<void> {
  return new Promise((resolve) => {
    onStop((_reason, byForce) => {
      if (byForce) process.exit(1);
      replay.stop();
      resolve();
    });
  });
}

interface Options {
  speed: number;
  limitRows?: number | undefined;
  json?: boolean | undefined;
}

async function replayTrace(trace: TraceFile, { speed, limitRows, json = false }: Options): Promise<void> {
  const limit = limitRows ?? Number.POSITIVE_INFINITY;
  const stack = runningStack();
  const narrator = createNarrator(json);
  const bytes = (await stat(trace.file)).size;
  const clock = new TraceClock(speed, performance.now());
  const replay = new Replay(stack.ingest.url, driverTokens(stack));
  const progress = (): Progress => ({
    rows: trace.rows.rows,
    malformed: trace.rows.malformed,
    passed_over: trace.passedOver,
    vehicles: replay.vehicles,
    leaps: clock.leaps,
    percent: Math.round((100 * trace.bytesRead) / Math.max(bytes, 1)),
  });
  const status = setInterval(() => {
    const { sent, acknowledged } = replay.totals.now();
    const { rows: read, vehicles, percent } = progress();
    const text = `${percent} %  ${read} rows  ${vehicles} vehicles  ${sent} sent  ${acknowledged} acknowledged`;
    narrator.status(text, { ...replay.totals.now(), ...progress() });
  }, STATUS_EVERY_MS);
  const interrupted = interruption(replay);
  try {
    await Promise.race([replay.run(trace.rows, clock, limit), interrupted]);
  } finally {
    clearInterval(status);
  }
  await Promise.race([replay.settle(), interrupted]);
  const totals = replay.totals.now();
  await closeAll(replay.totals, 0);
  narrator.say(report(totals, progress(), trace.passedOverText()), 'ended', { ...totals, ...progress() });
}

const program = command('run replay', {
  about:
    'Replays a trace through the WebSocket, sent as of now: each vehicle is a driver with its own socket, ' +
    'thinned to what the service accepts from one driver. Gaps of more than 10 minutes are skipped.',
  examples: ['trace.csv', 'trace.csv --speed 10', 'trace.csv --limit-rows 1000 --json'],
  notes: [
    'FILE is CSV with the columns vehicle_id, unix_ms, lat, lon (others are ignored), best sorted by time. Rows that are no positions are skipped, and reported with line and reason.',
  ],
})
  .argument('<FILE>', 'the trace')
  .option(
    '--speed <X>',
    'how many times faster than it happened',
    number('--speed', { min: 0.01, max: 10_000, whole: false }),
    1,
  )
  .option('--limit-rows <N>', 'only the first rows', number('--limit-rows', { min: 1, max: 1e12 }))
  .action(async (file, options) => {
    await withTrace(givenPath(file), (trace) => replayTrace(trace, options));
    process.exit(0);
  });

await runMain(program);

// How long it takes from sending a report until `nearby` finds it, under load; and whether the age that an answer
// states for its view is true: an answer without a report that was acknowledged long before has to state that age.
import { buildPartitionMap } from '@whereabouts/infra/partition-map';
import { seededRandom } from '@whereabouts/infra/seeded-random';
import { driverTokens } from '@whereabouts/scripts/driver-tokens';
import { Dispatcher } from '@whereabouts/scripts/outside/dispatcher';
import { type Acknowledged, DriverSocket } from '@whereabouts/scripts/outside/driver-socket';
import { OwnStack } from '@whereabouts/scripts/stack/own-stack';
import { readSecret, type Stack } from '@whereabouts/scripts/stack-file';
import type { Bench, BenchContext, BenchOutcome } from './bench.js';
import { Load } from './load/load.js';
import { cityFleet, type Place } from './load/places.js';
import { CONNECTIONS_PER_PROCESS, cell, INTERVAL_MS, sleep, WARM_UP_S } from './measured-load.js';
import { quantile } from './stores/closed-loop.js';

const DEFAULTS = { drivers: CONNECTIONS_PER_PROCESS, seconds: 20, rounds: 2 };
const SEED = 1;
const PROBE_SEED = 5;
const LOAD_PROCESSES = 2;
const CONNECT_DEADLINE_MS = 60_000;
const PROBES = 4;
const ASK_EVERY_MS = 10;
const FOUND_DEADLINE_MS = 5_000;
/** Between two reports of a probe: in step with neither ticks nor polls, and within its rate. */
const PAUSE_MS = { min: 300, max: 500 };
const RADIUS_M = 50;
const STEP_DEG = 0.0001;
/** The allowed difference for the clocks of driver and store, and for the way of an answer. */
const AGE_SLACK_MS = 100;
const MAX_P99_MS = 300;

interface Seen {
  /** From sending until it was found, ascending. */
  foundMs: number[];
  ackedMs: number[];
  answers: number;
  /** Answers that stated a younger view than they had. */
  untrue: number;
}

/** A driver that reports, and asks for itself. */
class Probe {
  readonly #place: Place;
  readonly #dispatcher: Dispatcher;
  readonly #socket: DriverSocket;
  readonly #acks: Map<number, number>;
  #lastMs = 0;

  private constructor(place: Place, dispatcher: Dispatcher, socket: DriverSocket, acks: Map<number, number>) {
    this.#place = place;
    this.#dispatcher = dispatcher;
    this.#socket = socket;
    this.#acks = acks;
  }

  static async connect(stack: Stack, place: Place): Promise<Probe> {
    const acks = new Map<number, number>();
    const acknowledged = ({ report }: Acknowledged) => acks.set(report.seq, performance.now());
    const token = await driverTokens(stack)(place.id);
    const socket = await DriverSocket.connect({
      url: stack.ingest.url,
      driverId: place.id,
      token,
      acknowledged,
    });
    return new Probe(place, await Dispatcher.of(stack), socket, acks);
  }

  async report(seen: Seen): Promise<void> {
    const recordedAtMs = Math.max(this.#lastMs + 1, Date.now());
    this.#lastMs = recordedAtMs;
    const { id, lat, lon } = this.#place;
    const there = { lat: lat + STEP_DEG * (this.#socket.lastSeq % 2), lon };
    const sentAtMs = performance.now();
    const seq = this.#socket.send({ recorded_at_ms: recordedAtMs, ...there });
    for (;;) {
      const askedAtMs = performance.now();
      const answer = await this.#dispatcher.nearby({ lat, lon, radius_m: RADIUS_M, limit: 10 });
      const found = answer.drivers.find(({ driver_id }) => driver_id === id);
      const atMs = performance.now();
      seen.answers++;
      if (found !== undefined && Date.parse(found.recorded_at) >= recordedAtMs) {
        seen.foundMs.push(atMs - sentAtMs);
        seen.ackedMs.push((this.#acks.get(seq) ?? atMs) - sentAtMs);
        return;
      }
      const ackedAtMs = this.#acks.get(seq) ?? askedAtMs;
      if (answer.view_age_ms + AGE_SLACK_MS < askedAtMs - ackedAtMs) seen.untrue++;
      if (atMs - sentAtMs > FOUND_DEADLINE_MS)
        throw new Error(`${id} is not found ${FOUND_DEADLINE_MS} ms later`);
      await sleep(ASK_EVERY_MS);
    }
  }

  close(): Promise<void> {
    return this.#socket.close();
  }
}

async function look(probes: readonly Probe[], seconds: number, seed: number): Promise<Seen> {
  const seen: Seen = { foundMs: [], ackedMs: [], answers: 0, untrue: 0 };
  const endMs = performance.now() + seconds * 1000;
  await Promise.all(
    probes.map(async (probe, i) => {
      const random = seededRandom(seed + i);
      while (performance.now() < endMs) {
        await probe.report(seen);
        await sleep(random.between(PAUSE_MS.min, PAUSE_MS.max));
      }
    }),
  );
  for (const times of [seen.foundMs, seen.ackedMs]) times.sort((a, b) => a - b);
  return seen;
}

async function measure(stack: Stack, drivers: Place[], context: BenchContext): Promise<Seen[]> {
  const { issuer, audience } = stack.auth;
  const auth = { secret: readSecret(stack), issuer, audience: audience.ingest };
  const port = Number(new URL(stack.ingest.url).port);
  const task = { host: '127.0.0.1', port, auth, intervalMs: INTERVAL_MS, drivers } as const;
  const load = new Load({ ...task, format: 'bin', ack: 'sparse' }, LOAD_PROCESSES);
  const probes: Probe[] = [];
  try {
    await load.connected(CONNECT_DEADLINE_MS);
    for (const place of cityFleet(PROBES, PROBE_SEED)) {
      probes.push(await Probe.connect(stack, { ...place, id: `probe-${place.id}` }));
    }
    await look(probes, WARM_UP_S, SEED);
    const rounds: Seen[] = [];
    for (let round = 0; round < (context.rounds ?? DEFAULTS.rounds); round++) {
      context.say(`visibility: round ${round + 1}`);
      rounds.push(await look(probes, context.seconds ?? DEFAULTS.seconds, SEED + PROBES * round));
    }
    return rounds;
  } finally {
    await Promise.all(probes.map((probe) => probe.close()));
    await load.stop();
  }
}

async function run(context: BenchContext): Promise<BenchOutcome> {
  const drivers = cityFleet(context.drivers ?? DEFAULTS.drivers, SEED);
  const own = await OwnStack.start(buildPartitionMap(drivers));
  const rounds = await measure(own.now, drivers, context).finally(() => own.stop());
  const of = (q: number) => rounds.map(({ foundMs }) => quantile(foundMs, q));
  const all = (part: 'foundMs' | 'ackedMs') => rounds.flatMap((seen) => seen[part]).sort((a, b) => a - b);
  const row = (name: string, times: readonly number[]) => [
    name,
    times.length,
    ...[0.5, 0.9, 0.99, 1].map((q) => cell(quantile(times, q))),
  ];
  const answers = rounds.reduce((sum, seen) => sum + seen.answers, 0);
  return {
    workload: `${drivers.length.toLocaleString('en')} drivers of one city (seed ${SEED}), binary, ack=sparse, a report every ${INTERVAL_MS / 1000} s; ${PROBES} more who report every ${PAUSE_MS.min} to ${PAUSE_MS.max} ms and are then asked for every ${ASK_EVERY_MS} ms until they are found there; ${rounds.length} rounds`,
    figures: [
      {
        name: 'From sending a report until nearby finds it: p99',
        unit: 'ms',
        measured: of(0.99),
        baseline: null,
        goal: { atMost: MAX_P99_MS },
      },
      {
        name: 'From sending a report until nearby finds it: median',
        unit: 'ms',
        measured: of(0.5),
        baseline: null,
        goal: null,
      },
      {
        name: `Answers whose view was more than ${AGE_SLACK_MS} ms older than they told, of ${answers.toLocaleString('en')}`,
        unit: 'answers',
        measured: rounds.map(({ untrue }) => untrue),
        baseline: null,
        goal: { atMost: 0 },
      },
    ],
    tables: [
      {
        title: 'ms from sending a report',
        heads: ['until', 'reports', 'p50', 'p90', 'p99', 'most'],
        rows: [row('acknowledged', all('ackedMs')), row('found by nearby', all('foundMs'))],
      },
    ],
    notes: [
      'Found: when the answer was there, so up to one question later than it could be seen. The load, the probes and their questions share the cores with what is measured.',
    ],
  };
}

export const VISIBILITY: Bench = {
  about: 'how long it takes from a report until nearby finds it, under load',
  run,
};

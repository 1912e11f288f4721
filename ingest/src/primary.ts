// The parent of several ingest processes on one port. It serves no driver: it starts them, starts those again that
// die, drains them together, and answers for all of them on one ops listener.
import { type ChildProcess, fork } from 'node:child_process';
import { createLogger, type Logger } from '@whereabouts/infra/service/log';
import { type ReadinessReport, runService } from '@whereabouts/infra/service/shell';
import { type ChildEnd, Supervisor } from '@whereabouts/infra/service/supervisor';
import { AggregatorRegistry } from 'prom-client';
import { findExclusivePort } from './gateway.js';
import { registerProcessCount } from './process-metrics.js';
import type { IngestSettings } from './settings.js';
import { type CountedMetrics, type Question, type Reply, siblingEnv } from './siblings.js';

const ANSWER_DEADLINE_MS = 700;
/** Below the 4 s that infra/deploy/prometheus gives a scrape: one process that hangs must not hide the others. */
const METRICS_DEADLINE_MS = 2500;
const PACE = { firstMs: 100, limitMs: 5000, steadyMs: 10_000 };
// Each child keeps the drain's deadline itself. The parent waits a little longer, to report the outcome.
const DRAIN_MARGIN_MS = 1000;

export async function runPrimary(settings: IngestSettings): Promise<void> {
  const log = createLogger('ingest', settings.logLevel);
  const siblings = new Siblings(settings.processes, log);
  await runService({
    name: 'ingest',
    log,
    opsHost: settings.opsHost,
    opsPort: settings.opsPort,
    registry: siblings,
    drainDeadlineMs: settings.drainDeadlineMs + DRAIN_MARGIN_MS,
    readiness: () => siblings.readiness(),
    async start() {
      const port = await findExclusivePort(settings.host, settings.port);
      siblings.start(port);
      log.info({ host: settings.host, port, pids: siblings.pids() }, 'listening with several processes');
    },
    drain: () => siblings.drain(),
  });
}

class Siblings {
  readonly #log: Logger;
  readonly #siblings: Supervisor[];
  readonly #asked = new Map<number, (reply: Reply | null) => void>();
  #port = 0;
  #lastQuestion = 0;

  constructor(count: number, log: Logger) {
    this.#log = log;
    const onEnd = ({ pid, code, signal }: ChildEnd, waitMs: number | null) =>
      log.error({ pid, code, signal, wait_ms: waitMs }, 'an ingest process ended: starting another');
    this.#siblings = Array.from(
      { length: count },
      (_, i) => new Supervisor({ spawn: () => this.#fork(i + 1), pace: PACE, onEnd }),
    );
  }

  start(port: number): void {
    this.#port = port;
    for (const sibling of this.#siblings) sibling.up();
  }

  pids(): number[] {
    return this.#siblings.flatMap(({ child }) => child?.pid ?? []);
  }

  async readiness(): Promise<ReadinessReport> {
    const replies = await this.#askAll('readiness', ANSWER_DEADLINE_MS);
    const checks = replies.flatMap((reply, i) => {
      const name = `process ${i + 1}`;
      if (!reply?.readiness) return [{ name, ok: false, detail: 'does not answer' }];
      const { ready, checks } = reply.readiness;
      const pid = this.#siblings[i]?.child?.pid;
      const own = { name, ok: ready, detail: `pid ${pid}, ${ready ? 'ready' : 'not ready'}` };
      return [own, ...checks.map((check) => ({ ...check, name: `${name}: ${check.name}` }))];
    });
    return { ready: replies.every((reply) => reply?.readiness?.ready === true), checks };
  }

  async metrics(): Promise<string> {
    const replies = await this.#askAll('metrics', METRICS_DEADLINE_MS);
    const counted = replies.flatMap((reply) => (reply?.metrics ? [reply.metrics] : []));
    const registry = aggregate(counted);
    const all = this.#siblings.length;
    registerProcessCount(registry, { all, missing: all - counted.length });
    return registry.metrics();
  }

  /** Each child drains when its parent disconnects. Rejects if one did not finish. */
  async drain(): Promise<void> {
    const ends = await Promise.all(
      this.#siblings.map((sibling) => sibling.stop((child) => child.connected && child.disconnect())),
    );
    const failed = ends.filter((end) => end !== null && end.code !== 0).length;
    if (failed > 0) throw new Error(`${failed} of ${ends.length} processes did not drain`);
  }

  #fork(number: number): ChildProcess {
    const child = fork(process.argv[1] as string, [], { env: siblingEnv(this.#port, number) });
    child.on('message', (reply: Reply) => this.#take(reply.id, reply));
    child.on('error', (error) => this.#log.error({ err: error }, 'an ingest process cannot be reached'));
    return child;
  }

  #askAll(ask: Question['ask'], deadlineMs: number): Promise<(Reply | null)[]> {
    return Promise.all(this.#siblings.map(({ child }) => this.#ask(child, ask, deadlineMs)));
  }

  #ask(child: ChildProcess | null, ask: Question['ask'], deadlineMs: number): Promise<Reply | null> {
    if (!child?.connected) return Promise.resolve(null);
    const id = ++this.#lastQuestion;
    return new Promise((resolve) => {
      const timer = setTimeout(() => this.#take(id, null), deadlineMs);
      this.#asked.set(id, (reply) => {
        clearTimeout(timer);
        resolve(reply);
      });
      child.send({ id, ask } satisfies Question, (error) => {
        if (error) this.#take(id, null);
      });
    });
  }

  #take(id: number, reply: Reply | null): void {
    this.#asked.get(id)?.(reply);
    this.#asked.delete(id);
  }
}

function aggregate(counted: CountedMetrics[]) {
  // The types ask for one process's metrics, the function for those of all.
  return AggregatorRegistry.aggregate(counted as unknown as CountedMetrics[number][]);
}

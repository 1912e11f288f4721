// One process of ingest: settings -> map -> live store -> recorder -> connections -> gateway, and back at its end.
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { CLOSE_CODES } from '@whereabouts/client/protocol';
import { LogStore } from '@whereabouts/infra/live-store/log-store';
import { parsePartitionMap } from '@whereabouts/infra/partition-map';
import { createLogger, type Logger } from '@whereabouts/infra/service/log';
import { createMetrics, type Metrics } from '@whereabouts/infra/service/metrics';
import { maxOpenFiles } from '@whereabouts/infra/service/open-files';
import { type ReadinessReport, runService } from '@whereabouts/infra/service/shell';
import { createTokenVerifier, type RunningTokenVerifier } from '@whereabouts/infra/service/tokens';
import { tracerOf } from '@whereabouts/infra/service/tracing';
import { LOCATION_SCOPE } from './admission.js';
import { Claims } from './claims.js';
import { registerClaimMetrics } from './claims-metrics.js';
import { Connections } from './connections.js';
import { Edge } from './edge.js';
import { EdgeCounters, registerEdgeMetrics } from './edge-counters.js';
import { Gateway } from './gateway.js';
import { LoopLag } from './loop-lag.js';
import { registerProcessCount, registerProcessMetrics } from './process-metrics.js';
import { Recorder } from './recorder.js';
import type { IngestSettings } from './settings.js';
import { answerPrimary, processNumber } from './siblings.js';
import { Stalls } from './stalls.js';

const LOOK_EVERY_MS = 1000;
// Of the drain's deadline: closing everyone, and time for them to answer, so that no close frame is lost.
const CLOSING_SPREAD_MS = 1000;
const LINGER_MS = 200;

/** For everything except drivers: Redis, scrapes. */
const OTHER_FILES = 100;
/** Sockets that are no WebSocket: an address has half of them, so that no single one has all. */
const HANDSHAKES = Object.freeze({ inAll: 1000, ofAddress: 500 });

interface Running {
  store: LogStore;
  recorder: Recorder;
  claims: Claims;
  edge: Edge;
  connections: Connections;
  gateway: Gateway;
  verify: RunningTokenVerifier;
  stopLooking(): void;
}

export async function runIngest(settings: IngestSettings, role: { isSibling: boolean }): Promise<void> {
  const log = createLogger('ingest', settings.logLevel);
  const metrics = createMetrics('ingest', { commit: settings.buildCommit });
  let running: Running | null = null;
  const readiness = () => readinessOf(running);
  if (role.isSibling) answerPrimary({ registry: metrics.registry, readiness });
  else registerProcessCount(metrics.registry, { all: 1, missing: 0 });
  await runService({
    name: 'ingest',
    log,
    opsHost: settings.opsHost,
    opsPort: role.isSibling ? null : settings.opsPort,
    registry: metrics.registry,
    drainDeadlineMs: settings.drainDeadlineMs,
    readiness,
    async start() {
      running = await startIngest(settings, log, metrics, role.isSibling);
    },
    async drain() {
      if (running !== null) await drain(running, settings.drainDeadlineMs);
    },
  });
}

async function startIngest(
  settings: IngestSettings,
  log: Logger,
  metrics: Metrics,
  sharesPort: boolean,
): Promise<Running> {
  const map = parsePartitionMap(readFileSync(settings.partitionMapFile, 'utf8'));
  const verify = await createTokenVerifier(settings.tokens, { log, metrics });
  const store = await LogStore.connect({
    durability: settings.durability,
    redis: settings.redis,
    map,
    log,
  });
  const processId = randomBytes(8).toString('hex');
  const tracer = tracerOf('ingest');
  const recorder = new Recorder({ store, settings, log, metrics, processId, tracer });
  const counters = new EdgeCounters();
  const stalls = new Stalls(() => performance.now());
  const claims = new Claims({ store, processId, handedBack: (driverId) => connections.handedBack(driverId) });
  registerClaimMetrics(metrics, claims);
  const edge = new Edge({
    settings: { ...settings, maxConnections: connectionsWithin(settings.maxConnections, log) },
    recorder,
    claims,
    counters,
    clock: {
      storeNowMs: () => store.nowMs(),
      monotonicMs: () => performance.now(),
      stalledMs: (nowMs) => stalls.stalledMs(nowMs),
      wallMs: () => Date.now(),
    },
    verify: (token) => verify(token, LOCATION_SCOPE),
  });
  const connections: Connections = new Connections(edge);
  const listening: { gateway?: Gateway } = {};
  registerEdgeMetrics(metrics, counters, {
    handshakes: () => listening.gateway?.handshakes ?? 0,
    rememberedDrivers: () => connections.rememberedDrivers,
    connections: () => connections.size,
    absentDrivers: () => connections.absentDrivers,
    reportIntervalMs: () => edge.reportIntervalMs,
  });
  const { host, port } = settings;
  const unready = () => whyUnready(store, recorder);
  const gateway = await Gateway.listen({
    edge,
    connections,
    host,
    port,
    sharesPort,
    unready,
    handshakeLimits: HANDSHAKES,
  });
  listening.gateway = gateway;
  recorder.start();
  log.info({ host, port: gateway.port, partitions: map.partitions, map: map.hash }, 'listening');
  const lag = new LoopLag();
  registerProcess(metrics, { lag, recorder, edge, connections });
  const stopLooking = lookRegularly(connections, gateway, lag);
  return { store, recorder, claims, edge, connections, gateway, verify, stopLooking };
}

function registerProcess(
  metrics: Metrics,
  { lag, recorder, edge, connections }: Pick<Running, 'recorder' | 'edge' | 'connections'> & { lag: LoopLag },
): void {
  const durations = { lag: lag.durations, tick: recorder.durations };
  registerProcessMetrics(metrics, processNumber(), durations, {
    connections: () => connections.size,
    connectionsLimit: () => edge.settings.maxConnections,
    pendingReports: () => recorder.pendingReports(),
    paceFactor: () => edge.reportIntervalMs / edge.settings.reportIntervalMs,
  });
}

/** Without spare file descriptors accept() fails, and a process cannot even answer 503. */
function connectionsWithin(maxConnections: number, log: Logger): number {
  const files = maxOpenFiles();
  if (files === null) return maxConnections;
  const atMost = Math.max(1, files - OTHER_FILES - HANDSHAKES.inAll);
  if (maxConnections <= atMost) return maxConnections;
  log.warn({ max_connections: maxConnections, files, at_most: atMost }, 'too few files for MAX_CONNECTIONS');
  return atMost;
}

function lookRegularly(connections: Connections, gateway: Gateway, lag: LoopLag): () => void {
  const timer = setInterval(() => {
    connections.look(lag.takeMs());
    gateway.look();
  }, LOOK_EVERY_MS);
  return () => {
    clearInterval(timer);
    lag.stop();
  };
}

/** First writes, then closes: drivers get the outcome of their reports before the close frame. */
async function drain(running: Running, deadlineMs: number): Promise<void> {
  const { store, recorder, edge, connections, gateway } = running;
  edge.draining = true;
  gateway.stopListening();
  await recorder.drain(Math.max(0, deadlineMs - CLOSING_SPREAD_MS - 2 * LINGER_MS));
  await connections.closeAll(CLOSE_CODES.restarting, 'this server is stopping', CLOSING_SPREAD_MS);
  await sleep(LINGER_MS);
  running.stopLooking();
  gateway.close();
  running.claims.close();
  running.verify.close();
  store.close();
}

function whyUnready(store: LogStore, recorder: Recorder): string | null {
  if (recorder.mapMismatch) return 'the live store is written under another partition map';
  if (store.mastersReachable() === 0) return 'no Redis master can be reached';
  return null;
}

/** A dark region leaves the service ready: the other drivers are served. */
function readinessOf(running: Running | null): ReadinessReport {
  if (running === null) return { ready: false, checks: [] };
  const { store, recorder, edge, connections, verify } = running;
  const reason = whyUnready(store, recorder);
  recorder.look();
  const { regions, lossWindow, refusingPartitions } = recorder;
  const { maxConnections, reportIntervalMs } = edge.settings;
  return {
    ready: reason === null && !edge.draining,
    checks: [
      { name: 'live store', ok: reason === null, detail: reason ?? `${store.mastersReachable()} masters` },
      { name: 'regions', ok: regions.count === 0, detail: regions.detail },
      {
        name: 'writes',
        ok: refusingPartitions === 0,
        detail: `${refusingPartitions} partitions refuse writes with an error that is not known`,
      },
      {
        name: 'connections',
        ok: connections.size < maxConnections,
        detail: `${connections.size} of ${maxConnections}`,
      },
      {
        name: 'pace',
        ok: edge.reportIntervalMs === reportIntervalMs,
        detail: `drivers report every ${edge.reportIntervalMs} ms`,
      },
      { name: 'pending', ok: true, detail: `${recorder.pendingReports()} reports wait` },
      { name: 'loss window', ok: !lossWindow.isExceeded, detail: lossWindow.detail },
      ...verify.checks(),
    ],
  };
}

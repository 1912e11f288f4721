// The three services and the fleet as supervised children.
import { join } from 'node:path';
import { root } from '../home.js';
import type { StackOptions } from './options.js';
import {
  fleetEnv,
  flusherEnv,
  ingestEnv,
  promoterEnv,
  queryEnv,
  type StackAddresses,
} from './service-env.js';
import type { ChildSpec } from './stack-process.js';

const compiled = (workspace: string, script: string) => join(root, workspace, 'dist', `${script}.js`);

/** Each service's own deadline (DRAIN_DEADLINE_MS), and a moment more before we use force. */
const DRAIN_MS = { ingest: 15_000, flusher: 40_000, query: 10_000, promoter: 2_000 };
const MARGIN_MS = 2_000;
const FLEET_DRAIN_MS = 10_000;

export type ServiceName = keyof typeof DRAIN_MS;

const ENVIRONMENT = { ingest: ingestEnv, flusher: flusherEnv, query: queryEnv, promoter: promoterEnv };
const NAME = { ingest: 'ingest', flusher: 'flusher', query: 'query-api', promoter: 'promoter' };
const SCRIPT = {
  ingest: compiled('ingest', 'main'),
  flusher: compiled('flusher', 'main'),
  query: compiled('query-api', 'main'),
  promoter: compiled('infra', 'src/promoter/main'),
};

export function serviceSpec(service: ServiceName, stack: StackAddresses): ChildSpec {
  return {
    name: NAME[service],
    script: SCRIPT[service],
    env: { DRAIN_DEADLINE_MS: String(DRAIN_MS[service]), ...ENVIRONMENT[service](stack) },
    stopDeadlineMs: DRAIN_MS[service] + MARGIN_MS,
  };
}

/** The simulated drivers, the replayed trace, or both. */
export function fleetSpecs(options: StackOptions): ChildSpec[] {
  const child = (name: string, args: string[], mayEnd: boolean): ChildSpec => ({
    name,
    script: compiled('scripts', name),
    args,
    env: fleetEnv(),
    stopDeadlineMs: FLEET_DRAIN_MS,
    mayEnd,
  });
  const specs: ChildSpec[] = [];
  if (options.replayFile !== null) {
    specs.push(child('replay', [options.replayFile, '--speed', String(options.speed), '--json'], true));
  }
  if (options.drivers > 0) {
    const args = ['--drivers', String(options.drivers), '--seed', String(options.seed), '--json'];
    specs.push(child('simulate', args, false));
  }
  return specs;
}

// The origin of a report's figures: a figure without its machine, commit and versions says little.

import { execFile } from 'node:child_process';
import { availableParallelism, cpus, release, totalmem, type } from 'node:os';
import { promisify } from 'node:util';
import { findPostgresBinDir, findRedisServer } from '@whereabouts/infra/local/find-servers';
import { root } from '../home.js';

export interface RunFacts {
  machine: string;
  /** `unknown` if the sources are no git clone; with `, changed` if files differ from it. */
  commit: string;
  versions: Record<string, string>;
  /** By the names of the environment: settings that were not the default. */
  settings: Record<string, string>;
}

const DEADLINE_MS = 5000;
const GIB = 2 ** 30;
/** Settings that a figure may depend on; none of them is a secret. */
const TOLD = [
  'DURABILITY',
  'FLUSH_INTERVAL_MS',
  'FRESHNESS_MS',
  'HOLD_NACK_AFTER_MS',
  'INGEST_PROCESSES',
  'LOSS_BUDGET_MS',
  'REDIS_APPENDFSYNC',
  'REDIS_COMMAND_TIMEOUT_MS',
  'REDIS_CONNECT_TIMEOUT_MS',
  'REDIS_SOCKET_TIMEOUT_MS',
  'REPORT_INTERVAL_MS',
  'TICK_MAX_MS',
  'TICK_MIN_MS',
];

export async function gatherRunFacts(env: NodeJS.ProcessEnv = process.env): Promise<RunFacts> {
  const [commit, redis, postgres] = await Promise.all([commitNow(), redisVersion(), postgresVersion()]);
  const [processor] = cpus();
  return {
    machine: `${availableParallelism()} cores (${processor?.model.trim() || 'unknown'}), ${(totalmem() / GIB).toFixed(1)} GiB, ${type()} ${release()}`,
    commit,
    versions: { node: process.versions.node, redis, postgres },
    settings: settingsTold(env),
  };
}

export function settingsTold(env: NodeJS.ProcessEnv): Record<string, string> {
  return Object.fromEntries(TOLD.flatMap((name) => (env[name] ? [[name, env[name]]] : [])));
}

async function commitNow(): Promise<string> {
  const commit = await said('git', ['-C', root, 'rev-parse', 'HEAD']);
  if (commit === null) return 'unknown';
  const changes = await said('git', ['-C', root, 'status', '--porcelain', '--untracked-files=no']);
  return changes ? `${commit}, changed` : commit;
}

async function redisVersion(): Promise<string> {
  const path = await findRedisServer().catch(() => null);
  const words = path && (await said(path, ['--version']));
  return (words && /v=(\S+)/.exec(words)?.[1]) || words || 'unknown';
}

async function postgresVersion(): Promise<string> {
  const folder = await findPostgresBinDir().catch(() => null);
  return (folder && (await said(`${folder}/postgres`, ['--version']))) || 'unknown';
}

async function said(command: string, args: string[]): Promise<string | null> {
  try {
    const { stdout } = await promisify(execFile)(command, args, { timeout: DEADLINE_MS });
    return stdout.trim();
  } catch {
    return null; // an unavailable fact is reported as unknown; it does not fail the drill
  }
}

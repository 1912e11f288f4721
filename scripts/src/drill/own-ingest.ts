// A separate ingest process for the drill's drivers alone: its counts are about nobody else, and it remembers no
// earlier drivers. It has the settings of the stack's ingest, and runs beside it, which is a usual deployment.
import { join } from 'node:path';
import { freePorts } from '@whereabouts/infra/local/ports';
import { endedAtStart, startServer, waitFor } from '@whereabouts/infra/local/server-process';
import { root } from '../home.js';
import type { Stack } from '../stack-file.js';
import { recipeOf } from './processes.js';

const HOST = '127.0.0.1';
const READY_DEADLINE_MS = 30_000;
const STOP_DEADLINE_MS = 15_000;

export interface OwnIngest {
  ingest: Stack['ingest'];
  stop(): Promise<void>;
}

export async function startOwnIngest(
  stack: Stack,
  logFile: string,
  settings: Readonly<Record<string, string>> = {},
): Promise<OwnIngest> {
  const [port, opsPort] = (await freePorts(2)) as [number, number];
  const places = { PORT: String(port), OPS_PORT: String(opsPort), INGEST_PROCESSES: '1' };
  const server = await startServer({
    command: process.execPath,
    args: [join(root, 'ingest', 'dist', 'main.js')],
    logFile,
    env: { ...recipeOf(stack.ingest.pids[0] as number).env, ...places, ...settings },
    stopSignal: 'SIGTERM',
  });
  const ops = `http://${HOST}:${opsPort}`;
  const stop = () => server.stop(STOP_DEADLINE_MS);
  try {
    await waitFor("the drill's own ingest is ready", READY_DEADLINE_MS, async () => {
      if (server.hasExited()) return true;
      return (await fetch(`${ops}/readyz`, { signal: AbortSignal.timeout(1_000) })).ok || undefined;
    });
    if (server.hasExited()) throw endedAtStart("the drill's own ingest", logFile);
  } catch (error) {
    await stop();
    throw error;
  }
  return { ingest: { url: `ws://${HOST}:${port}`, ops, pids: [server.pid] }, stop };
}

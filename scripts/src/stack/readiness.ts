// Waits for services to be ready, and for every partition to answer.
import { readerToken } from '../driver-tokens.js';
import type { Stack } from '../stack-file.js';
import type { StackProcess } from './stack-process.js';

const READY_DEADLINE_MS = 60_000;
const LOOK_MS = 100;
const FIRST_DRIVER_MS = 5_000;
const REQUEST_TIMEOUT_MS = 2_000;

export class StartError extends Error {
  readonly code = 'start_failed';
}

const pause = () => new Promise((resolve) => setTimeout(resolve, LOOK_MS));

async function request(url: string, headers: Record<string, string> = {}): Promise<Response | null> {
  try {
    return await fetch(url, { headers, signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS) });
  } catch {
    return null;
  }
}

/** Why a service is not ready, in its own words. */
async function excuse(ops: string): Promise<string> {
  const response = await request(`${ops}/readyz?verbose`);
  return response === null ? 'its ops listener does not answer' : (await response.text()).trim();
}

export async function waitUntilReady(
  service: StackProcess,
  ops: string,
  stopped: () => boolean,
): Promise<void> {
  const until = performance.now() + READY_DEADLINE_MS;
  const { name } = service.spec;
  const why = (text: string) => new StartError(`${name} ${text}\n${service.logTail()}\n(${service.logFile})`);
  while (!stopped()) {
    if (service.lastEnd !== '') throw why(service.lastEnd);
    if ((await request(`${ops}/readyz`))?.status === 200) return;
    if (performance.now() > until) throw why(`is not ready: ${await excuse(ops)}`);
    await pause();
  }
}

/** Whether every partition answers now. */
async function isComplete(stack: Stack): Promise<boolean> {
  const token = await readerToken(stack);
  const response = await request(`${stack.query.url}/v1/partitions`, { authorization: `Bearer ${token}` });
  if (response?.status !== 200) return false;
  const body = (await response.json()) as { complete?: boolean };
  return body.complete === true;
}

export async function waitUntilComplete(stack: Stack, stopped: () => boolean): Promise<boolean> {
  const until = performance.now() + READY_DEADLINE_MS;
  while (!stopped() && performance.now() < until) {
    if (await isComplete(stack)) return true;
    await pause();
  }
  return false;
}

/** Until this driver can be asked for; without a fleet none comes, so it gives up soon. */
export async function waitForDriver(stack: Stack, id: string, stopped: () => boolean): Promise<void> {
  const until = performance.now() + FIRST_DRIVER_MS;
  while (!stopped() && performance.now() < until) {
    const authorization = `Bearer ${await readerToken(stack)}`;
    const response = await request(`${stack.query.url}/v1/drivers/${id}`, { authorization });
    if (response?.status === 200) return;
    await pause();
  }
}

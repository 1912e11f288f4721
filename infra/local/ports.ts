// Free TCP ports for the servers of tests and of `npm start`.
//
// Ports are searched below 32768, where the kernel does not pick the ports of outgoing connections, and each
// process begins at a place given by its own pid, so that two test files at once do not look at the same ones.
// A port counts as free if nothing answers there AND it can be bound: uWebSockets.js binds with SO_REUSEPORT, so
// binding can succeed although another process listens.
import { connect, createServer } from 'node:net';

export const REDIS_BUS_OFFSET = 10_000;

const FIRST_PORT = 10_000;
/** The usual port of the first Redis node of a stack (`npm start`). */
export const STACK_REDIS_PORT = 7100;
/** A stack may be about to listen on the first of its bus ports. */
const STACK_BUS_PORTS = {
  first: STACK_REDIS_PORT + REDIS_BUS_OFFSET,
  last: STACK_REDIS_PORT + REDIS_BUS_OFFSET + 99,
};
const STRETCH = 30;
const STRETCHES = 400;
const PORTS = STRETCH * STRETCHES;
const CONNECT_TIMEOUT_MS = 500;

let cursor = (process.pid % STRETCHES) * STRETCH;

function somebodyAnswers(port: number, host: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ port, host });
    const settle = (answer: boolean) => {
      socket.destroy();
      resolve(answer);
    };
    socket.setTimeout(CONNECT_TIMEOUT_MS, () => settle(true));
    socket.once('connect', () => settle(true));
    socket.once('error', () => settle(false));
  });
}

function canBind(port: number, host: string): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen({ port, host, exclusive: true }, () => server.close(() => resolve(true)));
  });
}

export async function isPortFree(port: number, host = '127.0.0.1'): Promise<boolean> {
  return !(await somebodyAnswers(port, host)) && (await canBind(port, host));
}

/** A Redis Cluster node also listens on its bus port. */
export async function isRedisPortFree(port: number): Promise<boolean> {
  return (await isPortFree(port)) && (await isPortFree(port + REDIS_BUS_OFFSET));
}

async function take(count: number, free: (port: number) => Promise<boolean>): Promise<number[]> {
  const found: number[] = [];
  for (let looked = 0; looked < PORTS && found.length < count; looked++) {
    const port = FIRST_PORT + cursor;
    cursor = (cursor + 1) % PORTS;
    if (port >= STACK_BUS_PORTS.first && port <= STACK_BUS_PORTS.last) continue;
    if (await free(port)) found.push(port);
  }
  if (found.length < count) throw new Error(`No ${count} free ports from ${FIRST_PORT} on.`);
  return found;
}

export async function freePort(): Promise<number> {
  const [port] = await take(1, isPortFree);
  return port as number;
}

export function freePorts(count: number): Promise<number[]> {
  return take(count, isPortFree);
}

export function freeRedisPorts(count: number): Promise<number[]> {
  return take(count, isRedisPortFree);
}

/** The preferred port, or the next free one above it; `taken` holds ports that are already promised. */
export async function nextFreePort(
  preferred: number,
  taken: ReadonlySet<number> = new Set(),
  free: (port: number) => Promise<boolean> = isPortFree,
): Promise<number> {
  for (let port = preferred; port < preferred + 1000 && port < 65_536; port++) {
    if (!taken.has(port) && (await free(port))) return port;
  }
  throw new Error(`No free port from ${preferred} on.`);
}

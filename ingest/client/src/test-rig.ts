// Servers and clients of one test file, closed after each test.
import { afterEach } from 'node:test';
import { DriverClient } from './driver-client.js';
import type { CloseEvent, DriverClientOptions, RefusedEvent } from './driver-client-options.js';
import { type PeerScript, TestServer } from './test-peer.js';

export const BERLIN = { lat: 52.52, lon: 13.405 };
export const QUICK = { baseMs: 5, maxMs: 40 };

const servers: TestServer[] = [];
const clients: DriverClient[] = [];

export async function serve(script: PeerScript = {}): Promise<TestServer> {
  const server = await TestServer.start(script);
  servers.push(server);
  return server;
}

export function connect(server: { url: string }, options: Partial<DriverClientOptions> = {}): DriverClient {
  const auth = options.getToken ? {} : { token: 'a.b.c' };
  const client = new DriverClient({ url: server.url, backoff: QUICK, ...auth, ...options });
  clients.push(client);
  return client;
}

export function closesOf(client: DriverClient): CloseEvent[] {
  const closes: CloseEvent[] = [];
  client.on('close', (event) => closes.push(event));
  return closes;
}

export function refusalsOf(client: DriverClient): RefusedEvent[] {
  const refusals: RefusedEvent[] = [];
  client.on('refused', (event) => refusals.push(event));
  return refusals;
}

export function closeAfterEach(): void {
  afterEach(async () => {
    await Promise.all(clients.splice(0).map((client) => client.close()));
    await Promise.all(servers.splice(0).map((server) => server.stop()));
  });
}

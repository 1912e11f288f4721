// The product's query-api as a separate process on a live store, asked over connections that stay open.

import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { Agent, get } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePorts } from '@whereabouts/infra/local/ports';
import { waitFor } from '@whereabouts/infra/local/server-process';
import { formatPartitionMap } from '@whereabouts/infra/partition-map';
import { signDevelopmentToken } from '@whereabouts/infra/service/development-token';
import { root } from '@whereabouts/scripts/home';
import type { StoreUnderTest } from './store-under-test.js';

const MAIN = join(root, 'query-api', 'dist', 'main.js');
const ISSUER = 'whereabouts';
const AUDIENCE = 'whereabouts-query';
const TOKEN_TTL_S = 24 * 3600;
const START_DEADLINE_MS = 60_000;
const STOP_DEADLINE_MS = 15_000;
/** The greatest possible: the fleet is recorded once and then queried for as long as the bench takes. */
const FRESHNESS_MS = 3_600_000;

interface Answer {
  complete: boolean;
  missing: { reason: string }[];
  drivers: unknown[];
}

interface Ports {
  port: number;
  opsPort: number;
}

export class QueryService {
  readonly #child: ChildProcess;
  readonly #dir: string;
  readonly #url: string;
  readonly port: number;
  /** A token with the right to ask. */
  readonly token: string;
  readonly #opsPort: number;
  readonly #headers: Record<string, string>;
  readonly #agent = new Agent({ keepAlive: true });
  /** From the start of the process until it was ready. */
  readyMs = Number.NaN;

  private constructor(child: ChildProcess, dir: string, ports: Ports, token: string) {
    this.#child = child;
    this.#dir = dir;
    this.#url = `http://127.0.0.1:${ports.port}`;
    this.port = ports.port;
    this.#opsPort = ports.opsPort;
    this.token = token;
    this.#headers = { authorization: `Bearer ${token}` };
  }

  static async start(own: StoreUnderTest, more: Record<string, string> = {}): Promise<QueryService> {
    const dir = await mkdtemp(join(tmpdir(), 'whereabouts-query-'));
    const mapFile = join(dir, 'map.json');
    await writeFile(mapFile, formatPartitionMap(own.store.map));
    const [port, opsPort] = (await freePorts(2)) as [number, number];
    const secret = randomBytes(32).toString('hex');
    const env = {
      PATH: process.env.PATH ?? '',
      HOST: '127.0.0.1',
      PORT: String(port),
      OPS_PORT: String(opsPort),
      LOG_LEVEL: 'warn',
      REDIS_URL: own.urls.join(','),
      PARTITION_MAP_FILE: mapFile,
      FRESHNESS_MS: String(FRESHNESS_MS),
      SWEEP_AFTER_MS: String(2 * FRESHNESS_MS),
      JWT_SECRET: secret,
      // One caller asks all, each as soon as the one before is answered.
      MAX_QUESTIONS_PER_S: '1000000',
      JWT_ISSUER: ISSUER,
      JWT_AUDIENCE: AUDIENCE,
      ...more,
    };
    const scope = { issuer: ISSUER, audience: AUDIENCE, subject: 'bench', scope: 'drivers:read' };
    const token = await signDevelopmentToken({ ...scope, secret, ttlS: TOKEN_TTL_S });
    // When we die the channel closes, and it stops by itself.
    const child = spawn(process.execPath, [MAIN], { env, stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
    const startedAtMs = performance.now();
    const service = new QueryService(child, dir, { port, opsPort }, token);
    const until = async (what: string, isSo: () => Promise<boolean>) => {
      const come = await waitFor(what, START_DEADLINE_MS, async () => {
        if (child.exitCode !== null) return 'ended';
        return (await isSo()) ? 'come' : undefined;
      });
      if (come === 'ended') throw new Error(`query-api ended with status ${child.exitCode}`);
    };
    try {
      const isReady = async () => (await fetch(`http://127.0.0.1:${opsPort}/readyz`)).ok;
      await until('query-api is ready', isReady);
      service.readyMs = performance.now() - startedAtMs;
      await until('every partition answers', () => service.#isComplete());
      return service;
    } catch (error) {
      await service.stop();
      throw error;
    }
  }

  get pid(): number {
    return this.#child.pid as number;
  }

  /** Rejects if a part of the answer is missing. Returns how many drivers were found. */
  async nearby({ lat, lon }: { lat: number; lon: number }, radiusM: number, limit: number): Promise<number> {
    const path = `/v1/drivers/nearby?lat=${lat}&lon=${lon}&radius_m=${radiusM}&limit=${limit}`;
    const { status, text } = await this.#get(path);
    if (status !== 200) throw new Error(`query-api answered ${status}: ${text}`);
    const answer = JSON.parse(text) as Answer;
    if (!answer.complete)
      throw new Error(`query-api could not see everything: ${JSON.stringify(answer.missing)}`);
    return answer.drivers.length;
  }

  async metrics(): Promise<string> {
    return await (await fetch(`http://127.0.0.1:${this.#opsPort}/metrics`)).text();
  }

  async stop(): Promise<void> {
    this.#agent.destroy();
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      const timer = setTimeout(() => this.#child.kill('SIGKILL'), STOP_DEADLINE_MS);
      this.#child.kill('SIGTERM');
      await once(this.#child, 'exit');
      clearTimeout(timer);
    }
    await rm(this.#dir, { recursive: true, force: true });
  }

  async #isComplete(): Promise<boolean> {
    const { status, text } = await this.#get('/v1/partitions');
    return status === 200 && (JSON.parse(text) as { complete: boolean }).complete;
  }

  #get(path: string): Promise<{ status: number; text: string }> {
    return new Promise((resolve, reject) => {
      const options = { headers: this.#headers, agent: this.#agent };
      get(this.#url + path, options, (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('error', reject);
        response.on('end', () => {
          resolve({ status: response.statusCode ?? 0, text: Buffer.concat(chunks).toString() });
        });
      }).on('error', reject);
    });
  }
}

// Runs the services of compose.yaml without Docker: Redis and Postgres of this machine, and our own services as
// processes with the command and environment of their image and compose.yaml, in the order that compose.yaml requires.
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, existsSync, mkdirSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { findRedisServer } from '@whereabouts/infra/local/find-servers';
import { freePort, freeRedisPorts } from '@whereabouts/infra/local/ports';
import {
  type PostgresServer,
  removePostgresData,
  startPostgres,
} from '@whereabouts/infra/local/postgres-server';
import { type ServerProcess, startServer, waitFor } from '@whereabouts/infra/local/server-process';
import { Client } from 'pg';
import {
  type ComposeFile,
  type ComposeService,
  dependenciesOf,
  readComposeFile,
  startOrder,
} from './compose-file.js';
import { LOOPBACK, type Places, providePlaces } from './compose-places.js';
import { chainOf, lastOf, parseEnv, parseExec, type Stage } from './dockerfile.js';

export interface ComposeRunOptions {
  deployDir: string;
  stages: readonly Stage[];
  /** `/app` of the image of that target. */
  folderOf(target: string): string;
  /** For everything that it makes. */
  dir: string;
  values?: Readonly<Record<string, string>>;
  say(text: string): void;
}

interface Running {
  name: string;
  child: ChildProcess;
  graceMs: number;
}

const REDIS_PORT = 6379;
const POSTGRES_PORT = 5432;
const HEALTHY_DEADLINE_MS = 60_000;
const SERVER_STOP_MS = 8_000;

export class ComposeRun {
  readonly #o: ComposeRunOptions;
  readonly #file: ComposeFile;
  readonly #ports = new Map<string, number>();
  readonly #servers: ServerProcess[] = [];
  readonly #running: Running[] = [];
  #postgres: PostgresServer | null = null;

  constructor(options: ComposeRunOptions) {
    this.#o = options;
    this.#file = readComposeFile(join(options.deployDir, 'compose.yaml'), options.values);
  }

  /** The current address of that port: `ingest:8080`. */
  portOf(place: string): number {
    return this.#ports.get(place) as number;
  }

  async start(profiles: readonly string[]): Promise<void> {
    const { deployDir, dir, say } = this.#o;
    mkdirSync(join(dir, 'logs'), { recursive: true });
    execFileSync(join(deployDir, 'make-secrets.sh'), [this.#secretsDir], { stdio: 'ignore' });
    const order = startOrder(this.#file, profiles);
    await this.#givePorts(order);
    for (const name of order) {
      say(`starting ${name}`);
      await this.#startOne(name, this.#file.services[name] as ComposeService, order);
    }
  }

  /** Runs a service once to its end, with these arguments; returns what it printed. */
  async once(name: string, args: readonly string[]): Promise<string> {
    const { command, env } = this.#commandOf(name, this.#file.services[name] as ComposeService);
    return execFileSync(process.execPath, [...command, ...args], { env, encoding: 'utf8' });
  }

  /** In the order of `docker compose down`. Returns the exit status of each service. */
  async stop(): Promise<Record<string, number | string | null>> {
    const statuses: Record<string, number | string | null> = {};
    for (const { name, child, graceMs } of this.#running.reverse()) {
      if (child.exitCode === null && child.signalCode === null) {
        const timer = setTimeout(() => child.kill('SIGKILL'), graceMs);
        child.kill('SIGTERM');
        await once(child, 'exit');
        clearTimeout(timer);
      }
      statuses[name] = child.exitCode ?? child.signalCode;
    }
    await this.#postgres?.stop();
    if (this.#postgres) await removePostgresData(join(this.#o.dir, 'postgres'));
    await Promise.all(this.#servers.map((server) => server.stop(SERVER_STOP_MS)));
    return statuses;
  }

  get #secretsDir(): string {
    return join(this.#o.dir, 'secrets');
  }

  async #givePorts(order: readonly string[]): Promise<void> {
    const redis = order.filter((name) => this.#file.services[name]?.image.startsWith('redis:'));
    const redisPorts = await freeRedisPorts(redis.length);
    for (const [i, name] of redis.entries())
      this.#ports.set(`${name}:${REDIS_PORT}`, redisPorts[i] as number);
    for (const name of order) {
      const target = this.#file.services[name]?.build?.target;
      for (const port of target === undefined ? [] : this.#exposed(target))
        this.#ports.set(`${name}:${port}`, await freePort());
    }
    this.#ports.set(`postgres:${POSTGRES_PORT}`, await freePort());
  }

  #exposed(target: string): number[] {
    return (lastOf(this.#o.stages, target, 'EXPOSE') ?? '').split(' ').filter(Boolean).map(Number);
  }

  async #startOne(name: string, service: ComposeService, order: readonly string[]): Promise<void> {
    if (service.image.startsWith('redis:')) return this.#startRedis(name, service);
    if (service.image.startsWith('postgres:')) return this.#startPostgres();
    if (service.build === undefined) return this.#o.say(`  ${service.image}: left out here`);
    const conditions = order.flatMap((other) =>
      dependenciesOf(this.#file.services[other] as ComposeService)
        .filter(([on]) => on === name)
        .map(([, condition]) => condition),
    );
    const { command, env } = this.#commandOf(name, service);
    const logFile = join(this.#o.dir, 'logs', `${name}.log`);
    const log = openSync(logFile, 'w');
    // When this process dies the channel closes, and the service stops by itself.
    const child = spawn(process.execPath, command, { env, stdio: ['ignore', log, log, 'ipc'] });
    closeSync(log);
    if (conditions.includes('service_completed_successfully')) {
      const [code] = (await once(child, 'exit')) as [number | null];
      if (code !== 0) throw new Error(`${name} ended with ${code}:\n${readFileSync(logFile, 'utf8')}`);
      return;
    }
    const graceMs = Number.parseInt(service.stop_grace_period ?? '10s', 10) * 1000;
    this.#running.push({ name, child, graceMs });
    await this.#healthy(name, service.build.target, child, env, logFile);
  }

  /** As the HEALTHCHECK of its image does. */
  async #healthy(
    name: string,
    target: string,
    child: ChildProcess,
    env: NodeJS.ProcessEnv,
    logFile: string,
  ): Promise<void> {
    const [, check] = /CMD (\[.*\])$/.exec(lastOf(this.#o.stages, target, 'HEALTHCHECK') ?? '') ?? [];
    if (check === undefined) return;
    const [, ...args] = this.#inFolder(target, parseExec(check));
    await waitFor(`${name} is healthy`, HEALTHY_DEADLINE_MS, async () => {
      if (child.exitCode !== null) return 'ended';
      const probe = spawn(process.execPath, args, { env, stdio: 'ignore' });
      const [code] = (await once(probe, 'exit')) as [number | null];
      return code === 0 ? 'healthy' : undefined;
    });
    if (child.exitCode !== null)
      throw new Error(`${name} ended with ${child.exitCode}:\n${readFileSync(logFile, 'utf8')}`);
  }

  #commandOf(name: string, service: ComposeService): { command: string[]; env: NodeJS.ProcessEnv } {
    const { stages } = this.#o;
    const target = service.build?.target ?? '';
    const { rewritten } = this.#placesOf(name, service);
    const given = service.entrypoint ?? service.command ?? parseExec(lastOf(stages, target, 'CMD') ?? '[]');
    const [, ...command] = this.#inFolder(target, given.map(rewritten));
    const env: NodeJS.ProcessEnv = { PATH: process.env.PATH, ...imageEnv(stages, target) };
    for (const [variable, value] of Object.entries(service.environment ?? {}))
      env[variable] = rewritten(value);
    if (env.PGHOST === 'postgres')
      Object.assign(env, { PGHOST: LOOPBACK, PGPORT: String(this.portOf('postgres:5432')) });
    // In containers each has a separate address; here all share ours.
    env.OPS_HOST = LOOPBACK;
    env.HOST = LOOPBACK;
    for (const port of this.#exposed(target))
      env[port >= 9000 ? 'OPS_PORT' : 'PORT'] = String(this.portOf(`${name}:${port}`));
    return { command, env };
  }

  #placesOf(name: string, service: ComposeService): Places {
    const { deployDir, dir } = this.#o;
    const places = { deployDir, dir, secretsDir: this.#secretsDir, ports: this.#ports };
    return providePlaces(name, service, this.#file, places);
  }

  /** `node script.js ...`, the script as a path in the image's folder. */
  #inFolder(target: string, [node = '', script = '', ...more]: readonly string[]): string[] {
    if (node !== 'node') throw new Error(`${node} is not node`);
    const path = join(this.#o.folderOf(target), script);
    const inClone = join(this.#o.deployDir, 'docker', script);
    return [node, existsSync(path) ? path : inClone, ...more];
  }

  async #startRedis(name: string, service: ComposeService): Promise<void> {
    const { rewritten } = this.#placesOf(name, service);
    const port = this.portOf(`${name}:${REDIS_PORT}`);
    const [, ...args] = (service.command ?? []).map(rewritten);
    const server = await startServer({
      command: await findRedisServer(),
      args: [...args, '--port', String(port), '--bind', LOOPBACK, '--cluster-announce-ip', LOOPBACK],
      logFile: join(this.#o.dir, 'logs', `${name}.log`),
      stopSignal: 'SIGTERM',
    });
    this.#servers.push(server);
  }

  async #startPostgres(): Promise<void> {
    const port = this.portOf(`postgres:${POSTGRES_PORT}`);
    const postgres = await startPostgres({ dir: join(this.#o.dir, 'postgres'), port });
    this.#postgres = postgres;
    const password = readFileSync(join(this.#secretsDir, 'postgres-admin'), 'utf8');
    const admin = new Client({ connectionString: postgres.adminUrl });
    await admin.connect();
    // As the image does it by POSTGRES_PASSWORD_FILE.
    await admin.query(`CREATE ROLE postgres SUPERUSER LOGIN PASSWORD '${password}'`);
    await admin.end();
  }
}

function imageEnv(stages: readonly Stage[], target: string): Record<string, string> {
  const all = chainOf(stages, target).flatMap(({ instructions }) => instructions);
  const texts = all.filter(({ keyword }) => keyword === 'ENV').map(({ text }) => text);
  return Object.assign({}, ...texts.map((text) => parseEnv(text.replace(/\$\{BUILD_COMMIT\}/, 'unknown'))));
}

// Grafana of one stack: the dashboards of infra/deploy, without signing in, on this machine only.
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { type ServerProcess, startServer } from '@whereabouts/infra/local/server-process';
import { root } from '../home.js';
import type { GrafanaPlace } from './find-observers.js';
import { whenAnswering } from './prometheus.js';

const DEPLOYED = join(root, 'infra', 'deploy', 'grafana');
/** It migrates its own database at the first start. */
const READY_DEADLINE_MS = 60_000;

export interface GrafanaOptions {
  place: GrafanaPlace;
  dir: string;
  logFile: string;
  port: number;
  prometheusUrl: string;
}

/** Resolves once it answers. */
export async function startGrafana(o: GrafanaOptions): Promise<{ url: string; process: ServerProcess }> {
  mkdirSync(o.dir, { recursive: true, mode: 0o700 });
  const { command, args, homePath } = o.place;
  const process = await startServer({
    command,
    // On the command line, where it identifies a stray one.
    args: [...args, '--homepath', homePath, `cfg:default.paths.data=${o.dir}`],
    env: { ...globalThis.process.env, ...grafanaEnv(o) },
    logFile: o.logFile,
    stopSignal: 'SIGTERM',
  });
  const url = `http://127.0.0.1:${o.port}`;
  await whenAnswering(process, `${url}/api/health`, READY_DEADLINE_MS);
  return { url, process };
}

function grafanaEnv({ dir, port, prometheusUrl }: GrafanaOptions): NodeJS.ProcessEnv {
  return {
    GF_SERVER_HTTP_ADDR: '127.0.0.1',
    GF_SERVER_HTTP_PORT: String(port),
    GF_PATHS_LOGS: join(dir, 'logs'),
    GF_PATHS_PLUGINS: join(dir, 'plugins'),
    GF_PATHS_PROVISIONING: join(DEPLOYED, 'provisioning'),
    GF_AUTH_ANONYMOUS_ENABLED: 'true',
    GF_AUTH_ANONYMOUS_ORG_ROLE: 'Viewer',
    GF_AUTH_DISABLE_LOGIN_FORM: 'true',
    GF_ANALYTICS_REPORTING_ENABLED: 'false',
    GF_ANALYTICS_CHECK_FOR_UPDATES: 'false',
    GF_ANALYTICS_CHECK_FOR_PLUGIN_UPDATES: 'false',
    GF_PLUGINS_PREINSTALL_DISABLED: 'true',
    GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH: join(DEPLOYED, 'dashboards', 'drivers-and-dispatch.json'),
    PROMETHEUS_URL: prometheusUrl,
    DASHBOARDS_PATH: join(DEPLOYED, 'dashboards'),
  };
}

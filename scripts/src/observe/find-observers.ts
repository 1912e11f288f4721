// Finds Prometheus and Grafana on this machine. The stack needs neither, and installs neither.
import { accessSync, constants, existsSync, realpathSync, statSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';

export interface GrafanaPlace {
  command: string;
  /** Takes precedence over all others. */
  args: readonly string[];
  /** With conf/defaults.ini and public/. */
  homePath: string;
}

export const HOW_TO_INSTALL = {
  prometheus:
    'Prometheus is not on the PATH: no alerts. Install it (Debian, Ubuntu: apt-get install prometheus; macOS: brew install prometheus; others: https://prometheus.io/download/).',
  grafana:
    'Grafana was not found: no dashboards. Install it (https://grafana.com/grafana/download; macOS: brew install grafana).',
} as const;

function onPath(name: string): string | null {
  const dirs = (process.env.PATH ?? '').split(delimiter).filter((dir) => dir !== '');
  const more = ['/usr/bin', '/usr/sbin', '/usr/local/bin', '/opt/homebrew/bin', '/usr/share/grafana/bin'];
  for (const dir of [...dirs, ...more]) {
    const path = join(dir, name);
    try {
      accessSync(path, constants.X_OK);
      if (statSync(path).isFile()) return path;
    } catch {
      // not here
    }
  }
  return null;
}

export const lookForPrometheus = (): string | null => onPath('prometheus');

export function lookForGrafana(): GrafanaPlace | null {
  // Since version 10 the server is a subcommand.
  for (const [name, args] of [
    ['grafana', ['server']],
    ['grafana-server', []],
  ] as const) {
    const command = onPath(name);
    const homePath = command && grafanaHome(command);
    if (command && homePath) return { command, args, homePath };
  }
  return null;
}

function grafanaHome(command: string): string | null {
  const beside = dirname(dirname(realpathSync(command)));
  const places = [beside, join(beside, 'share', 'grafana'), '/usr/share/grafana'];
  return places.find((place) => existsSync(join(place, 'conf', 'defaults.ini'))) ?? null;
}

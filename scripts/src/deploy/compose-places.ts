// Places the parts of a service of compose.yaml on this machine when it runs as a process: its secrets, configs and
// volumes in folders, its ports on loopback. Its environment, command and configs are rewritten to match.
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { ComposeFile, ComposeService } from './compose-file.js';

/** By `service:port` of compose.yaml. */
export type PortMap = ReadonlyMap<string, number>;

export const LOOPBACK = '127.0.0.1';

export interface Places {
  rewritten(text: string): string;
}

/** `deployDir`: where compose.yaml is; `dir`: holds everything of this run. */
export function providePlaces(
  name: string,
  service: ComposeService,
  file: ComposeFile,
  o: { deployDir: string; dir: string; secretsDir: string; ports: PortMap },
): Places {
  const own = join(o.dir, 'run', name);
  const moved = new Map<string, string>();
  const secrets = join(own, 'secrets');
  mkdirSync(secrets, { recursive: true });
  moved.set('/run/secrets', secrets);
  for (const secret of service.secrets ?? []) {
    if (file.secrets[secret] === undefined)
      throw new Error(`${name} needs the secret ${secret}, which does not exist`);
    // The address of Postgres is one of them.
    const text = readFileSync(join(o.secretsDir, secret), 'utf8');
    writeFileSync(join(secrets, secret), atOurPorts(text, o.ports));
  }
  for (const volume of service.volumes ?? []) {
    const [source = '', target = ''] = volume.split(':');
    const place = source.startsWith('.') ? join(o.deployDir, source) : join(o.dir, 'volumes', source);
    if (!source.startsWith('.')) mkdirSync(place, { recursive: true });
    moved.set(target, place);
  }
  const configs = (service.configs ?? []).map(({ source, target }) => {
    const config = file.configs[source];
    if (config === undefined) throw new Error(`${name} needs the config ${source}, which does not exist`);
    const place = join(own, target);
    moved.set(dirname(target), dirname(place));
    return { config, place };
  });
  const rewritten = (text: string) => atOurPorts(inOurFolders(text, moved), o.ports);
  for (const { config, place } of configs) {
    mkdirSync(dirname(place), { recursive: true });
    if (config.file !== undefined) copyFileSync(join(o.deployDir, config.file), place);
    else writeFileSync(place, rewritten(config.content ?? ''));
  }
  return { rewritten };
}

function inOurFolders(text: string, moved: ReadonlyMap<string, string>): string {
  const longestFirst = [...moved].sort(([a], [b]) => b.length - a.length);
  // Once for each place in the text: an inserted path may contain such a path again.
  const paths = longestFirst.map(([path]) => path.replace(/[.]/g, '\\.')).join('|');
  return text.replace(
    new RegExp(`(?<![\\w.-])(${paths})(?=/|"|$)`, 'g'),
    (path) => moved.get(path) as string,
  );
}

function atOurPorts(text: string, ports: PortMap): string {
  const names = [...ports.keys()].join('|');
  return text.replace(new RegExp(`\\b(${names})\\b`, 'g'), (name) => `${LOOPBACK}:${ports.get(name)}`);
}

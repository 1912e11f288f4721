// Reads compose.yaml as far as its services can run as plain processes: their commands, environment and order.
import { readFileSync } from 'node:fs';
import { parse } from 'yaml';

type Condition = 'service_started' | 'service_healthy' | 'service_completed_successfully';

export interface ComposeService {
  image: string;
  build?: { target: string };
  profiles?: string[];
  command?: string[];
  entrypoint?: string[];
  environment?: Record<string, string>;
  /** As `45s`. */
  stop_grace_period?: string;
  secrets?: string[];
  configs?: { source: string; target: string }[];
  volumes?: string[];
  depends_on?: Record<string, { condition: Condition }> | string[];
}

export interface ComposeFile {
  services: Record<string, ComposeService>;
  secrets: Record<string, { file: string }>;
  configs: Record<string, { file?: string; content?: string }>;
}

/** `${NAME:-default}` is the default, which a new user gets, unless `values` overrides it. */
export function readComposeFile(path: string, values: Readonly<Record<string, string>> = {}): ComposeFile {
  const text = readFileSync(path, 'utf8').replace(
    /\$\{(\w+):-([^}]*)\}/g,
    (_, name: string, fallback: string) => values[name] ?? fallback,
  );
  return parse(text, { merge: true }) as ComposeFile;
}

export function dependenciesOf({ depends_on = {} }: ComposeService): [name: string, condition: Condition][] {
  if (Array.isArray(depends_on)) return depends_on.map((name) => [name, 'service_started']);
  return Object.entries(depends_on).map(([name, { condition }]) => [name, condition]);
}

/** The services of the profiles and those without a profile, each after everything that it depends on. */
export function startOrder({ services }: ComposeFile, profiles: readonly string[]): string[] {
  const order: string[] = [];
  const add = (name: string, path: readonly string[]) => {
    const service = services[name];
    if (service === undefined) throw new Error(`${path.at(-1)} depends on ${name}, which is not there`);
    if (path.includes(name)) throw new Error(`${[...path, name].join(' -> ')}: a circle`);
    for (const [other] of dependenciesOf(service)) add(other, [...path, name]);
    if (!order.includes(name)) order.push(name);
  };
  for (const [name, service] of Object.entries(services)) {
    if ((service.profiles ?? []).every((profile) => profiles.includes(profile))) add(name, []);
  }
  return order;
}

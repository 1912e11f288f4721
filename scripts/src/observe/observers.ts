// `npm start -- --observe`: Prometheus, and Grafana if it is found, beside the stack. The stack does not depend on
// them: if one is missing or does not start, that is reported, and the stack runs on.
import { join } from 'node:path';
import type { ServerProcess } from '@whereabouts/infra/local/server-process';
import { HOW_TO_INSTALL, lookForGrafana, lookForPrometheus } from './find-observers.js';
import { startGrafana } from './grafana.js';
import { type Scraped, startPrometheus } from './prometheus.js';

export interface Observer {
  url: string;
  pid: number;
}

/** As stack.json has them; null: not found, or it did not start. */
export interface Observers {
  prometheus: Observer | null;
  grafana: Observer | null;
}

export interface ObserveOptions {
  home: string;
  logsDir: string;
  scraped: Scraped;
  choosePort(name: string, usual: number): Promise<number>;
  say(text: string): void;
  /** A running part that has to be stopped at the end. */
  started(name: string, dir: string, process: ServerProcess): void;
}

const USUAL_PORT = { prometheus: 9090, grafana: 3000 };

export async function startObservers(o: ObserveOptions): Promise<Observers> {
  const prometheus = await startOne(o, {
    name: 'Prometheus',
    page: 'alerts',
    found: lookForPrometheus(),
    start: (command, place) => startPrometheus({ command, scraped: o.scraped, ...place }),
  });
  if (prometheus === null) return { prometheus, grafana: null };
  const grafana = await startOne(o, {
    name: 'Grafana',
    page: 'dashboards',
    found: lookForGrafana(),
    start: (place, own) => startGrafana({ place, prometheusUrl: prometheus.url, ...own }),
  });
  return { prometheus, grafana };
}

interface Place {
  dir: string;
  logFile: string;
  port: number;
}

interface Part<Found> {
  name: 'Prometheus' | 'Grafana';
  /** Where a person begins. */
  page: string;
  /** Null: it is not installed. */
  found: Found | null;
  start(found: Found, place: Place): Promise<{ url: string; process: ServerProcess }>;
}

async function startOne<Found>(o: ObserveOptions, part: Part<Found>): Promise<Observer | null> {
  const { name, page, found, start } = part;
  const key = name.toLowerCase() as keyof Observers;
  if (found === null) {
    o.say(HOW_TO_INSTALL[key]);
    return null;
  }
  const port = await o.choosePort(name, USUAL_PORT[key]);
  const dir = join(o.home, key);
  const logFile = join(o.logsDir, `${key}.log`);
  try {
    const { url, process } = await start(found, { dir, logFile, port });
    o.started(name, dir, process);
    o.say(`${name}: ${url}/${page}`);
    return { url, pid: process.pid };
  } catch (error) {
    o.say(`${name} did not start (${(error as Error).message}); see ${logFile}. The stack runs without it.`);
    return null;
  }
}

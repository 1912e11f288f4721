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
  const prometheus = await startFirst(o);
  return { prometheus, grafana: prometheus && (await startSecond(o, prometheus.url)) };
}

async function startFirst(o: ObserveOptions): Promise<Observer | null> {
  const command = lookForPrometheus();
  if (command === null) {
    o.say(HOW_TO_INSTALL.prometheus);
    return null;
  }
  const port = await o.choosePort('Prometheus', USUAL_PORT.prometheus);
  const own = placeOf(o, 'prometheus');
  const observer = await attempt(o, 'Prometheus', own, () =>
    startPrometheus({ command, port, scraped: o.scraped, ...own }),
  );
  if (observer) o.say(`Prometheus: ${observer.url}/alerts`);
  return observer;
}

async function startSecond(o: ObserveOptions, prometheusUrl: string): Promise<Observer | null> {
  const place = lookForGrafana();
  if (place === null) {
    o.say(HOW_TO_INSTALL.grafana);
    return null;
  }
  const port = await o.choosePort('Grafana', USUAL_PORT.grafana);
  const own = placeOf(o, 'grafana');
  const observer = await attempt(o, 'Grafana', own, () =>
    startGrafana({ place, port, prometheusUrl, ...own }),
  );
  if (observer) o.say(`Grafana: ${observer.url}/dashboards`);
  return observer;
}

const placeOf = ({ home, logsDir }: ObserveOptions, name: string) => ({
  dir: join(home, name),
  logFile: join(logsDir, `${name}.log`),
});

async function attempt(
  o: ObserveOptions,
  name: string,
  { dir, logFile }: { dir: string; logFile: string },
  start: () => Promise<{ url: string; process: ServerProcess }>,
): Promise<Observer | null> {
  try {
    const { url, process } = await start();
    o.started(name, dir, process);
    return { url, pid: process.pid };
  } catch (error) {
    o.say(`${name} did not start (${(error as Error).message}); see ${logFile}. The stack runs without it.`);
    return null;
  }
}

// The options of `npm start`.
import { existsSync } from 'node:fs';
import { command, givenPath, number } from '../cli.js';
import { UsageError } from '../usage-error.js';

export interface StackOptions {
  /** Simulated drivers; 0 for none. */
  drivers: number;
  seed: number;
  replayFile: string | null;
  speed: number;
  mapFile: string | null;
  redisMasters: number;
  /** Of each master. */
  replicas: number;
  promoter: boolean;
  /** One master runs in a separate network namespace. */
  networkNamespace: boolean;
  /** Prometheus and Grafana beside it. */
  observe: boolean;
  fresh: boolean;
  json: boolean;
}

const DEFAULT_DRIVERS = 1_000;

function existingFile(flag: string): (path: string) => string {
  return (path) => {
    const file = givenPath(path);
    if (!existsSync(file)) throw new UsageError(`${flag}: there is no file ${path}`);
    return file;
  };
}

export const START = command('start', {
  about: 'Starts Redis Cluster, Postgres, the three services and a simulated fleet. Ctrl-C stops all of it.',
  examples: ['', '--drivers 5000', '--replay trace.csv --speed 10', '--fresh --redis-masters 5'],
  notes: [
    'Ports that are taken are replaced by the next free ones. Data are kept in .whereabouts/ until `npm run clean`. Set DATABASE_URL to use a Postgres of your own; it is migrated.',
  ],
})
  .option(
    '--drivers <N>',
    `simulated drivers (default: ${DEFAULT_DRIVERS}; 0 with --replay)`,
    number('--drivers', { min: 0, max: 100_000 }),
  )
  .option(
    '--seed <N>',
    'seed of the fleet: another number gives other drivers',
    number('--seed', { min: 0, max: 2 ** 31 }),
    1,
  )
  .option('--replay <FILE>', 'replay a trace, CSV vehicle_id,unix_ms,lat,lon', existingFile('--replay'))
  .option(
    '--speed <X>',
    'with --replay: how many times faster than it happened (default: 1)',
    number('--speed', { min: 0.01, max: 10_000, whole: false }),
  )
  .option(
    '--map <FILE>',
    'the partition map to use, as `npm run map -- build` writes it',
    existingFile('--map'),
  )
  .option(
    '--redis-masters <N>',
    'masters of the Redis Cluster',
    number('--redis-masters', { min: 1, max: 16 }),
    3,
  )
  .option('--replicas <N>', 'replicas of each master', number('--replicas', { min: 0, max: 4 }), 1)
  .option('--no-promoter', 'without the promoter: Redis alone fails over')
  .option(
    '--network-namespace',
    'one master in a separate network namespace, which the drill isolate cuts off; needs root',
  )
  .option('--observe', 'run Prometheus and Grafana beside it, if they are installed')
  .option('--fresh', 'start empty: delete all positions, the archive and the partition map');

export function stackOptions(given: ReturnType<typeof START.opts>): StackOptions {
  const {
    drivers,
    replay = null,
    speed,
    map = null,
    networkNamespace,
    observe,
    fresh,
    json,
    ...others
  } = given;
  if (speed !== undefined && replay === null) {
    throw new UsageError('--speed is for --replay FILE; simulated drivers have one speed.');
  }
  return {
    ...others,
    drivers: drivers ?? (replay === null ? DEFAULT_DRIVERS : 0),
    replayFile: replay,
    speed: speed ?? 1,
    mapFile: map,
    networkNamespace: networkNamespace === true,
    observe: observe === true,
    fresh: fresh === true,
    json: json === true,
  };
}

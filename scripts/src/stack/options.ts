// What a person may say to `npm start`.
import { existsSync } from 'node:fs';
import { type Arguments, givenPath, UsageError } from '../cli.js';

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
  /** One master runs in a network namespace of its own. */
  networkNamespace: boolean;
  /** Prometheus and Grafana beside it. */
  observe: boolean;
  fresh: boolean;
  json: boolean;
}

const DEFAULT_DRIVERS = 1_000;

export const START = {
  name: 'start',
  about: 'Starts Redis Cluster, Postgres, the three services and a simulated fleet. Ctrl-C stops all of it.',
  options: {
    drivers: { value: 'N', about: `simulated drivers (${DEFAULT_DRIVERS}; 0 with --replay)` },
    seed: { value: 'N', about: 'another fleet for another number (1)' },
    replay: { value: 'FILE', about: 'replay a trace, CSV vehicle_id,unix_ms,lat,lon' },
    speed: { value: 'X', about: 'with --replay: so many times faster than it happened (1)' },
    map: { value: 'FILE', about: 'the partition map to use, as `npm run map -- build` writes it' },
    'redis-masters': { value: 'N', about: 'masters of the Redis Cluster (3)' },
    replicas: { value: 'N', about: 'replicas of each master (1)' },
    'no-promoter': { about: 'leave failover to Redis alone' },
    'network-namespace': {
      about: 'one master in a network namespace of its own, which the drill isolate cuts off; needs root',
    },
    observe: { about: 'run Prometheus and Grafana beside it, where they are installed' },
    fresh: { about: 'begin anew: forget all positions, the archive and the partition map' },
  },
  notes: [
    'Ports that are taken are replaced by the next free ones. Data are kept in .whereabouts/ until `npm run clean`.',
    'Set DATABASE_URL to use a Postgres of your own; it is migrated.',
  ],
};

function existingFile(name: string, path: string | undefined): string | null {
  if (path === undefined) return null;
  const file = givenPath(path);
  if (!existsSync(file)) throw new UsageError(`--${name}: there is no file ${path}.`);
  return file;
}

export function stackOptions(args: Arguments): StackOptions {
  const replayFile = existingFile('replay', args.text('replay'));
  if (args.text('speed') !== undefined && replayFile === null) {
    throw new UsageError('--speed is for --replay FILE; simulated drivers know one speed.');
  }
  const drivers = args.number('drivers', { min: 0, max: 100_000 });
  return {
    drivers: drivers ?? (replayFile === null ? DEFAULT_DRIVERS : 0),
    seed: args.number('seed', { min: 0, max: 2 ** 31 }) ?? 1,
    replayFile,
    speed: args.number('speed', { min: 0.01, max: 10_000, integer: false }) ?? 1,
    mapFile: existingFile('map', args.text('map')),
    redisMasters: args.number('redis-masters', { min: 1, max: 16 }) ?? 3,
    replicas: args.number('replicas', { min: 0, max: 4 }) ?? 1,
    promoter: !args.has('no-promoter'),
    networkNamespace: args.has('network-namespace'),
    observe: args.has('observe'),
    fresh: args.has('fresh'),
    json: args.has('json'),
  };
}

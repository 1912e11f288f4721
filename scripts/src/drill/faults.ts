// The drills: how each fault is made and undone.
import { rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { lossBudgetMs } from './alarm-watch.js';
import type { Drill } from './drill-kind.js';
import {
  killMaster,
  killPostgres,
  killShard,
  restartMaster,
  restartPostgres,
  restartShard,
  shardOf,
} from './fault-steps.js';

const FREEZE_MS = 5_000;
const ISOLATED_MS = 5_000;
const BEHIND_MS = 1_000;
const DARK_FOR_MS = 2_000;
const CUT_MS = 4_000;
const SLOW = { forMs: 6_000, stoppedMs: 200, runningMs: 20 };
/** Beyond the loss budget: time for the alarm. */
const POSTGRES_OUTLASTS_MS = 5_000;
/** Longer than the node timeout: first the replica counts as alive, then as gone. */
const REPLICA_FROZEN_MS = 6_000;
/** A replica on a healthy link is at most this far behind. */
const LOSES_REPLICATION = { losesAtMostMs: 100 } as const;
/** A file that the kernel has written survives the process. */
const LOSES_NOTHING = { losesAtMostMs: 0 } as const;

export const DRILLS: Readonly<Record<string, Drill>> = {
  kill: {
    about: 'kill -9 of a master',
    hits: 'region',
    dark: 'kill',
    ...LOSES_REPLICATION,
    inject: killMaster,
    undo: restartMaster,
  },
  freeze: {
    about: `a master frozen for ${FREEZE_MS / 1000} s`,
    hits: 'region',
    dark: 'freeze',
    ...LOSES_REPLICATION,
    comesBack: true,
    inject: async (scene) => {
      const pid = await scene.pid(scene.victim.address);
      scene.fault(`SIGSTOP of the master ${scene.victim.address}`);
      scene.freeze([pid]);
    },
    undo: async (scene) => {
      await scene.until(FREEZE_MS);
      scene.thaw();
      scene.undone('SIGCONT');
    },
  },
  isolate: {
    about: `a master that runs on, cut off from everything for ${ISOLATED_MS / 1000} s (on a new stack; needs root and ip)`,
    hits: 'region',
    dark: 'freeze',
    ...LOSES_REPLICATION,
    comesBack: true,
    needsNamespace: true,
    inject: (scene) => scene.isolate(),
    undo: async (scene) => {
      await scene.until(ISOLATED_MS);
      await scene.rejoin();
    },
  },
  restart: {
    about: 'kill -9 of a master that is started again at once, with its data',
    hits: 'region',
    dark: 'restart',
    ...LOSES_NOTHING,
    inject: async (scene) => {
      await killMaster(scene);
      await scene.spawnRedis(scene.victim.address);
      scene.tell('observed', `${scene.victim.address} is started again`);
    },
    undo: async (scene) => {
      await scene.untilAnswers(scene.victim.address);
      scene.undone(`${scene.victim.address} answers`);
    },
  },
  'kill-behind': {
    about: `kill -9 of a master whose replica has received nothing for ${BEHIND_MS / 1000} s`,
    hits: 'region',
    dark: 'kill',
    darkUntilUndone: true,
    ...LOSES_REPLICATION,
    mustLose: true,
    inject: async (scene) => {
      for (const { address } of scene.replicas) scene.freeze([await scene.pid(address)]);
      scene.behind('SIGSTOP of its replica');
      // Otherwise the socket would keep what it has not received yet.
      await scene.dropReplicas();
      await scene.pause(BEHIND_MS);
      await killMaster(scene);
      await scene.pause(BEHIND_MS);
      scene.thaw();
      scene.undone('SIGCONT of its replica');
    },
    undo: restartMaster,
  },
  'kill-with-replica': {
    about: 'kill -9 of a master and its replica: dark until they are started again with their data',
    hits: 'region',
    dark: 'back',
    darkUntilUndone: true,
    ...LOSES_NOTHING,
    inject: async (scene) => {
      await killShard(scene);
      await scene.pause(DARK_FOR_MS);
      await restartShard(scene);
    },
    undo: async () => {},
  },
  wipe: {
    about: 'a master and its replica come back at once, and empty',
    hits: 'region',
    dark: 'back',
    darkUntilUndone: true,
    losesAll: true,
    mustLose: true,
    inject: async (scene) => {
      await killShard(scene);
      for (const address of shardOf(scene)) {
        const configuration = scene.recipe(address).args[0] as string;
        await rm(join(dirname(configuration), 'appendonlydir'), { recursive: true, force: true });
        await rm(join(dirname(configuration), 'dump.rdb'), { force: true });
      }
      await restartShard(scene);
    },
    undo: async () => {},
  },
  cut: {
    about: `a master that our services cannot reach for ${CUT_MS / 1000} s, and that its cluster still sees`,
    hits: 'region',
    dark: 'back',
    darkUntilUndone: true,
    inject: async (scene) => {
      scene.fault(`the services are shut out of the master ${scene.victim.address}`);
      await scene.shutOut(true);
      await scene.pause(CUT_MS);
      await scene.shutOut(false);
      scene.undone('they are let in again');
    },
    undo: async () => {},
  },
  slow: {
    about: `a master that takes ${SLOW.stoppedMs} ms for everything, for ${SLOW.forMs / 1000} s`,
    hits: 'region',
    dark: null,
    inject: async (scene) => {
      const pid = await scene.pid(scene.victim.address);
      scene.fault(`the master ${scene.victim.address} is slow`);
      const until = performance.now() + SLOW.forMs;
      while (performance.now() < until) {
        scene.freeze([pid]);
        await scene.pause(SLOW.stoppedMs);
        scene.thaw();
        await scene.pause(SLOW.runningMs);
      }
    },
    undo: async (scene) => scene.undone('it is as fast as before'),
  },
  'freeze-replica': {
    about: `the replica of a master frozen for ${REPLICA_FROZEN_MS / 1000} s, with DURABILITY=replicated`,
    hits: 'region',
    dark: null,
    replicaAway: true,
    inject: async (scene) => {
      if (scene.replicas.length === 0) throw new Error(`${scene.victim.address} has no replica`);
      const pids = await Promise.all(scene.replicas.map(({ address }) => scene.pid(address)));
      scene.fault(`SIGSTOP of the replica ${scene.replicas.map(({ address }) => address).join(', ')}`);
      scene.freeze(pids);
    },
    undo: async (scene) => {
      await scene.until(REPLICA_FROZEN_MS);
      scene.thaw();
      scene.undone('SIGCONT');
    },
  },
  'postgres-down': {
    about: `Postgres stopped until ${POSTGRES_OUTLASTS_MS / 1000} s after the loss budget is used up`,
    hits: 'nothing',
    dark: null,
    archiveAway: true,
    outlastsBudget: true,
    inject: async (scene) => {
      scene.fault('SIGSTOP of Postgres and its sessions');
      scene.freeze(scene.postgresPids());
    },
    undo: async (scene) => {
      await scene.until((await lossBudgetMs(scene.stack())) + POSTGRES_OUTLASTS_MS);
      scene.thaw();
      scene.undone('SIGCONT');
    },
  },
  'postgres-crash': {
    about: 'kill -9 of Postgres, started again 3 s later',
    hits: 'nothing',
    dark: null,
    archiveAway: true,
    inject: killPostgres,
    undo: restartPostgres,
  },
  'flusher-kill': {
    about: 'kill -9 of the flusher',
    hits: 'nothing',
    dark: null,
    inject: (scene) => scene.kill(scene.stack().flusher.pid, 'kill -9 of the flusher'),
    undo: async (scene) => {
      await scene.untilReady(scene.stack().flusher.ops);
      scene.undone('a flusher is ready again');
    },
  },
  'ingest-kill': {
    about: 'kill -9 of ingest: every driver has to come back',
    hits: 'connections',
    dark: null,
    inject: async (scene) => {
      const { pids } = scene.stack().ingest;
      for (const pid of pids) await scene.kill(pid, `kill -9 of ingest (${pid})`);
    },
    undo: async (scene) => {
      await scene.untilReady(scene.stack().ingest.ops);
      scene.undone('ingest is ready again');
    },
  },
  'two-faults': {
    about: 'kill -9 of a master and of Postgres',
    hits: 'region',
    dark: 'kill',
    ...LOSES_REPLICATION,
    inject: async (scene) => {
      await killMaster(scene);
      await killPostgres(scene);
    },
    undo: async (scene) => {
      await restartPostgres(scene);
      await restartMaster(scene);
    },
  },
};

/** The user's own commands, for a cluster that we did not start. */
export function givenDrill(inject: string, heal: string): Drill {
  return {
    about: `the command: ${inject}`,
    hits: 'region',
    dark: 'kill',
    inject: async (scene) => {
      scene.fault(inject);
      await scene.shell(inject);
    },
    undo: async (scene) => {
      await scene.shell(heal);
      scene.undone(heal);
    },
  };
}

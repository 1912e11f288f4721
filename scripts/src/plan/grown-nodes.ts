// A master (with its replicas) that joins the cluster of a running stack, and leaves it again. Its folder is inside the
// stack's, it ends with `npm start`, and it gets its functions from a node that has them.

import { existsSync } from 'node:fs';
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { freeRedisPorts } from '@whereabouts/infra/local/ports';
import { type adminConnection, startRedisNode, withAdmin } from '@whereabouts/infra/local/redis-node';
import { waitFor } from '@whereabouts/infra/local/server-process';
import { parseAddress } from '@whereabouts/infra/node-address';
import { redisUsers } from '@whereabouts/infra/redis-setup/users';
import { provideRedis } from '../servers/provide.js';
import { clusterDir, GROWN, redisAdminPassword, redisPasswords } from '../stack/redis-admin.js';
import { stackSecrets } from '../stack/secrets.js';
import type { KnownNode } from './redis-commands.js';

type Redis = ReturnType<typeof adminConnection>;

const HOST = '127.0.0.1';
const JOIN_DEADLINE_MS = 20_000;

export interface Growth {
  home: string;
  /** Of `npm start`. */
  stackPid: number;
  /** All existing nodes. */
  nodes: readonly KnownNode[];
  say(text: string): void;
}

const portOf = (address: string) => parseAddress(address).port;
const folderOf = (home: string, port: number) => join(clusterDir(home), `${GROWN}${port}`);

export const isGrown = (home: string, address: string): boolean =>
  existsSync(folderOf(home, portOf(address)));

const clusterCommand = (node: Redis, ...args: (string | number)[]) => node.call('CLUSTER', args);

/** Like the others: a node is asked for the user's settings. */
async function settingsOf(entry: Redis) {
  const read = async (name: string) => ((await entry.config('GET', name)) as string[])[1] as string;
  return {
    appendfsync: (await read('appendfsync')) as 'everysec' | 'always',
    nodeTimeoutMs: Number(await read('cluster-node-timeout')),
  };
}

async function startNode(o: Growth, port: number, entry: Redis): Promise<void> {
  const dir = folderOf(o.home, port);
  await mkdir(dir, { recursive: true });
  const server = await startRedisNode({
    redisServer: await provideRedis(o.say),
    dir,
    host: HOST,
    port,
    ...(await settingsOf(entry)),
    locale: 'C',
    users: redisUsers(stackSecrets(o.home).redis),
    passwords: redisPasswords(o.home),
    orphanGraceS: 0,
  });
  server.handOver(o.stackPid);
}

/** Starts a master and its replicas and lets them join; returns the master's address once all nodes know them. */
export async function growCluster(o: Growth, replicas: number): Promise<string> {
  const password = redisAdminPassword(o.home);
  const ports = await freeRedisPorts(1 + replicas);
  const [master, ...followers] = ports.map((port) => `${HOST}:${port}`) as [string, ...string[]];
  await withAdmin(o.nodes[0]?.address as string, password, async (entry) => {
    for (const port of ports) {
      o.say(`Starting a Redis node on port ${port} ...`);
      await startNode(o, port, entry);
      await clusterCommand(entry, 'MEET', HOST, port);
    }
    const library = (await entry.callBuffer('FUNCTION', 'DUMP')) as Buffer;
    await withAdmin(master, password, (node) => node.call('FUNCTION', 'RESTORE', library, 'REPLACE'));
  });
  await untilKnown(o, [master, ...followers], password);
  const id = await withAdmin(master, password, (node) => clusterCommand(node, 'MYID'));
  for (const follower of followers) {
    await withAdmin(follower, password, async (node) => {
      await waitFor('the replica may follow', JOIN_DEADLINE_MS, () =>
        clusterCommand(node, 'REPLICATE', String(id)),
      );
      await waitFor('the replica is in step', JOIN_DEADLINE_MS, async () =>
        (await node.info('replication')).includes('master_link_status:up') ? true : undefined,
      );
    });
  }
  return master;
}

async function untilKnown(o: Growth, added: readonly string[], password: string): Promise<void> {
  const all = [...o.nodes.map(({ address }) => address), ...added];
  for (const known of all) {
    await waitFor(`the node ${known} knows the new ones`, JOIN_DEADLINE_MS, () =>
      withAdmin(known, password, async (node) => {
        const lines = String(await clusterCommand(node, 'NODES'))
          .trim()
          .split('\n');
        const isWhole =
          lines.length === all.length && !lines.some((line) => /handshake|noaddr|disconnected/.test(line));
        // A new master takes no writes for two seconds, nor the keys of a slot.
        const isUp = String(await clusterCommand(node, 'INFO')).includes('cluster_state:ok');
        return (isWhole && isUp) || undefined;
      }),
    );
  }
}

/** `leaving`: they own nothing. All nodes forget them at once, or gossip would bring them back. */
export async function shrinkCluster(o: Growth, leaving: readonly KnownNode[]): Promise<void> {
  const password = redisAdminPassword(o.home);
  const gone = new Set(leaving.map(({ id }) => id));
  // A replica of theirs would refuse to forget its master.
  for (const { address } of leaving.toReversed()) {
    o.say(`Stopping ${address} ...`);
    await withAdmin(address, password, (node) => node.shutdown('NOSAVE')).catch(() => {});
  }
  for (const { address, id } of o.nodes) {
    if (gone.has(id)) continue;
    await withAdmin(address, password, async (node) => {
      for (const each of gone) await clusterCommand(node, 'FORGET', each);
    });
  }
  for (const { address } of leaving)
    await rm(folderOf(o.home, portOf(address)), { recursive: true, force: true });
}

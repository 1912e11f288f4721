// Joins fresh nodes to a cluster and waits until every node agrees that it is whole.
import type { ConnectionOptions } from 'node:tls';
import type { Redis } from 'ioredis';
import { SLOT_COUNT } from '../src/hash-slot.js';
import { parseAddress } from '../src/node-address.js';
import { adminConnection } from './redis-node.js';
import { waitFor } from './server-process.js';

export interface ClusterShape {
  /** host:port of each node, masters first. */
  addresses: readonly string[];
  masters: number;
  replicas: number;
  password: string | undefined;
  /** Undefined: in plain text. */
  tls?: ConnectionOptions | undefined;
}

const JOIN_DEADLINE_MS = 20_000;
const SETTLE_DEADLINE_MS = 30_000;

async function withNodes<T>(shape: ClusterShape, use: (nodes: Redis[]) => Promise<T>): Promise<T> {
  const nodes = shape.addresses.map((address) => adminConnection(address, shape.password, shape.tls));
  try {
    await Promise.all(nodes.map((node) => node.connect()));
    return await use(nodes);
  } finally {
    for (const node of nodes) node.disconnect();
  }
}

const clusterCommand = (node: Redis, ...args: (string | number)[]) => node.call('CLUSTER', args);

/** Each master gets one stretch of slots and a distinct config epoch (the cluster would have to settle equal ones). */
async function giveSlots(masters: Redis[]): Promise<void> {
  for (const [index, master] of masters.entries()) {
    const first = Math.floor((index * SLOT_COUNT) / masters.length);
    const last = Math.floor(((index + 1) * SLOT_COUNT) / masters.length) - 1;
    await clusterCommand(master, 'ADDSLOTSRANGE', first, last);
    await clusterCommand(master, 'SET-CONFIG-EPOCH', index + 1);
  }
}

/** All nodes meet all others: that takes a moment, while gossip alone would take several rounds. */
async function meet(nodes: Redis[], addresses: readonly string[]): Promise<void> {
  await Promise.all(
    nodes.flatMap((node, index) =>
      addresses.slice(index + 1).map((address) => {
        const { host, port } = parseAddress(address);
        return clusterCommand(node, 'MEET', host, port);
      }),
    ),
  );
}

/** Refused as an unknown node until the handshake is through, so it is retried until the deadline. */
function replicate(replica: Redis, masterId: string): Promise<unknown> {
  return waitFor(`a replica follows ${masterId}`, JOIN_DEADLINE_MS, () =>
    clusterCommand(replica, 'REPLICATE', masterId),
  );
}

export function joinCluster(shape: ClusterShape): Promise<void> {
  return withNodes(shape, async (nodes) => {
    const masters = nodes.slice(0, shape.masters);
    await giveSlots(masters);
    await meet(nodes, shape.addresses);
    const ids = await Promise.all(masters.map((master) => clusterCommand(master, 'MYID')));
    const replicas = nodes.slice(shape.masters);
    await Promise.all(
      replicas.map((replica, index) => replicate(replica, String(ids[index % masters.length]))),
    );
  });
}

/** Why this node does not yet see a whole cluster, or null. */
async function whatIsMissing(node: Redis, shape: ClusterShape): Promise<string | null> {
  const info = String(await clusterCommand(node, 'INFO'));
  if (!info.includes('cluster_state:ok')) return 'cluster_state is not ok';
  if (!info.includes(`cluster_slots_ok:${SLOT_COUNT}`)) return 'slots are missing';
  const known = String(await clusterCommand(node, 'NODES'))
    .trim()
    .split('\n');
  if (known.length !== shape.addresses.length) return `${known.length} nodes are known`;
  if (known.some((line) => /fail|handshake|noaddr|disconnected/.test(line))) return 'a node is not linked';
  const masters = known.filter((line) => / (myself,)?master /.test(line)).length;
  if (masters !== shape.masters) return `${masters} masters are known`;
  const replication = await node.info('replication');
  if (replication.includes('role:slave') && !replication.includes('master_link_status:up')) {
    return 'a replica is not in step';
  }
  const followers = Number(/connected_slaves:(\d+)/.exec(replication)?.[1]);
  if (replication.includes('role:master') && followers !== shape.replicas)
    return `${followers} replicas follow`;
  return null;
}

export function waitForCluster(shape: ClusterShape): Promise<void> {
  return withNodes(shape, async (nodes) => {
    for (const [index, node] of nodes.entries()) {
      await waitFor(
        `the node ${shape.addresses[index]} sees a whole cluster`,
        SETTLE_DEADLINE_MS,
        async () => {
          const missing = await whatIsMissing(node, shape);
          if (missing !== null) throw new Error(missing);
          return true;
        },
      );
    }
  });
}

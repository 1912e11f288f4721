// The Redis Cluster as an outsider sees it, with the reader's rights: who is master of what, which process a node is,
// and what a replica holds while its master is dead.
import { type ReaderConnection, readerConnection } from '@whereabouts/infra/dev/reader-connection';
import { parseClusterNodes } from '@whereabouts/infra/live-store/topology';
import type { Stack } from '../stack-file.js';

const COMMAND_TIMEOUT_MS = 2_000;

export interface NodeView {
  address: string;
  id: string;
  master: boolean;
  masterId: string | null;
  failing: boolean;
  slots: [number, number][];
}

export async function withNode<T>(
  stack: Stack,
  address: string,
  use: (node: ReaderConnection) => Promise<T>,
): Promise<T> {
  const node = readerConnection(address, stack.redisReader, COMMAND_TIMEOUT_MS);
  try {
    await node.connect();
    return await use(node);
  } finally {
    node.disconnect();
  }
}

/** A connection to a replica that answers reads; it may be frozen for a while. */
export async function openReplica(
  stack: Stack,
  address: string,
  patienceMs: number,
): Promise<ReaderConnection> {
  const node = readerConnection(address, stack.redisReader, patienceMs);
  await node.connect();
  await node.readonly();
  return node;
}

const addressesOf = (stack: Stack) => stack.redis.map(({ host, port }) => `${host}:${port}`);

/** As the first node tells it that answers. */
export async function clusterNodes(stack: Stack): Promise<NodeView[]> {
  let lastError: unknown;
  for (const address of addressesOf(stack)) {
    try {
      const text = await withNode(stack, address, (node) => node.cluster('NODES') as Promise<string>);
      return parseClusterNodes(text, address);
    } catch (error) {
      lastError = error;
    }
  }
  throw new Error('no Redis node answers', { cause: lastError });
}

export const ownersOf = (nodes: readonly NodeView[]): NodeView[] =>
  nodes.filter(({ master, slots }) => master && slots.length > 0);

export const replicasOf = (nodes: readonly NodeView[], master: NodeView): NodeView[] =>
  nodes.filter(({ masterId }) => masterId === master.id);

/** The process behind a node: stack.json has those of the start only. */
export async function pidOf(stack: Stack, address: string): Promise<number> {
  const info = await withNode(stack, address, (node) => node.info('server'));
  return Number(/process_id:(\d+)/.exec(info)?.[1]);
}

async function isLinked(stack: Stack, address: string): Promise<boolean> {
  const info = await withNode(stack, address, (node) => node.info('replication'));
  return /master_link_status:up/.test(info) && !/master_sync_in_progress:1/.test(info);
}

/** What keeps the cluster from being whole (every node there, every master with its linked replicas), or null. */
export async function whatIsBroken(stack: Stack, masters: number): Promise<string | null> {
  const nodes = await clusterNodes(stack);
  const down = nodes.find(({ failing }) => failing);
  if (down) return `${down.address} is down`;
  const owners = ownersOf(nodes);
  if (owners.length !== masters) return `${owners.length} of ${masters} masters`;
  const replicas = nodes.length - masters;
  let linked = 0;
  for (const owner of owners) {
    const followers = replicasOf(nodes, owner);
    if (followers.length === 0 && replicas > 0) return `${owner.address} has no replica`;
    for (const { address } of followers) {
      if (!(await isLinked(stack, address))) return `replica ${address} is not linked`;
      linked++;
    }
  }
  return linked === replicas ? null : `${linked} of ${replicas} replicas are linked`;
}

// The Redis Cluster as an outsider sees it, with the reader's rights: which node is master of what, which process a
// node is, and what a replica holds while its master is dead.

import { parseClusterNodes } from '@whereabouts/infra/live-store/topology';
import { type ReaderConnection, readerConnection } from '@whereabouts/infra/local/reader-connection';
import { formatAddress } from '@whereabouts/infra/node-address';
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

/** The part of the stack that is needed to look into its nodes. */
export type Reader = Pick<Stack, 'redisReader'>;

export async function withNode<T>(
  stack: Reader,
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
  stack: Reader,
  address: string,
  patienceMs: number,
): Promise<ReaderConnection> {
  const node = readerConnection(address, stack.redisReader, patienceMs);
  await node.connect();
  await node.readonly();
  return node;
}

const addressesOf = (stack: Stack) => stack.redis.map(formatAddress);

async function nodesSeenBy(stack: Stack, address: string): Promise<NodeView[]> {
  const text = await withNode(stack, address, (node) => node.cluster('NODES') as Promise<string>);
  return parseClusterNodes(text, address);
}

/** According to the first node that answers. */
export async function clusterNodes(stack: Stack): Promise<NodeView[]> {
  let lastError: unknown;
  for (const address of addressesOf(stack)) {
    try {
      return await nodesSeenBy(stack, address);
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

/** The process behind a node: stack.json has only those from the start. */
export async function pidOf(stack: Stack, address: string): Promise<number> {
  const info = await withNode(stack, address, (node) => node.info('server'));
  return Number(/process_id:(\d+)/.exec(info)?.[1]);
}

async function isLinked(stack: Stack, address: string): Promise<boolean> {
  const info = await withNode(stack, address, (node) => node.info('replication'));
  return /master_link_status:up/.test(info) && !/master_sync_in_progress:1/.test(info);
}

/** The owners, as text that can be compared. */
const claimsOf = (nodes: readonly NodeView[]): string =>
  ownersOf(nodes)
    .map(({ address, slots }) => `${address} ${slots.join()}`)
    .sort()
    .join('; ');

/** Why the cluster is not whole, or null: all nodes agree, and every master has its linked replicas. */
export async function whatIsBroken(stack: Stack, masters: number): Promise<string | null> {
  const views = await Promise.all(addressesOf(stack).map((address) => nodesSeenBy(stack, address)));
  const nodes = views[0] ?? [];
  for (const view of views) {
    const down = view.find(({ failing }) => failing);
    if (down) return `${down.address} is down`;
    if (claimsOf(view) !== claimsOf(nodes)) return 'the nodes do not agree on who owns what';
  }
  const owners = ownersOf(nodes);
  if (owners.length !== masters) return `${owners.length} of ${masters} masters`;
  for (const owner of owners) {
    const followers = replicasOf(nodes, owner);
    if (followers.length === 0 && nodes.length > masters) return `${owner.address} has no replica`;
    for (const { address } of followers) {
      if (!(await isLinked(stack, address))) return `replica ${address} is not linked`;
    }
  }
  return null;
}

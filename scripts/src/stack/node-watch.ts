// The Redis nodes of the stack as they are now: the process of each, its role in the cluster, and whether it answers. A
// node that was killed and restarted has another pid; failovers swap roles.

import { type NodeClaim, parseClusterNodes } from '@whereabouts/infra/live-store/topology';
import { type ReaderIdentity, readerConnection } from '@whereabouts/infra/local/reader-connection';
import { formatAddress } from '@whereabouts/infra/node-address';
import { isRefused } from '@whereabouts/infra/promoter/refused';
import type { Stack, StackNode } from '../stack-file.js';

const TIMEOUT_MS = 1_000;
/** One late answer is no sign of a frozen node. */
const LATE_LOOKS = 2;

interface Seen {
  pid: number;
  isMaster: boolean;
  claims: NodeClaim[];
}

type Look = Seen | 'down' | 'late';

async function lookAt(address: string, identity: ReaderIdentity): Promise<Look> {
  const node = readerConnection(address, identity, TIMEOUT_MS);
  try {
    await node.connect();
    const [info, claims] = await Promise.all([node.info(), node.cluster('NODES') as Promise<string>]);
    return {
      pid: Number(/process_id:(\d+)/.exec(info)?.[1]),
      isMaster: /\nrole:master/.test(info),
      claims: parseClusterNodes(claims, address),
    };
  } catch {
    return (await isRefused(address)) ? 'down' : 'late';
  } finally {
    node.disconnect();
  }
}

/** The best-informed view: the one with the newest configuration. */
function newestClaims(looks: readonly Look[]): readonly NodeClaim[] {
  const epoch = (claims: readonly NodeClaim[]) =>
    Math.max(0, ...claims.map(({ configEpoch }) => configEpoch));
  const views = looks.filter((look): look is Seen => typeof look !== 'string').map(({ claims }) => claims);
  return views.sort((a, b) => epoch(b) - epoch(a))[0] ?? [];
}

export class NodeWatch {
  readonly #identity: ReaderIdentity;
  readonly #late = new Map<string, number>();

  constructor(stack: Stack) {
    this.#identity = stack.redisReader;
  }

  /** The same nodes, as they are now. */
  async look(nodes: readonly StackNode[]): Promise<StackNode[]> {
    const looks = await Promise.all(nodes.map((node) => lookAt(formatAddress(node), this.#identity)));
    const claims = newestClaims(looks);
    return nodes.map((node, i) => this.#now(node, looks[i] as Look, claims));
  }

  #now(node: StackNode, look: Look, claims: readonly NodeClaim[]): StackNode {
    const address = formatAddress(node);
    const late = look === 'late' ? (this.#late.get(address) ?? 0) + 1 : 0;
    this.#late.set(address, late);
    if (typeof look !== 'string') {
      return { ...node, pid: look.pid, role: look.isMaster ? 'master' : 'replica', state: 'up' };
    }
    // The node cannot be asked, so its state is what the others say. Without slots it was replaced, and will come back
    // as a replica.
    const slots = claims.find((claim) => claim.address === address)?.slots.length;
    const role = slots === undefined ? node.role : slots > 0 ? 'master' : 'replica';
    if (look === 'late' && late < LATE_LOOKS) return { ...node, role };
    return { ...node, role, state: look === 'down' ? 'down' : 'silent' };
  }
}

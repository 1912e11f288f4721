// Whether a master that does not answer the promoter is frozen, or only cut off from the promoter. The other nodes decide:
//
//   heard    some node had an answer of it recently: the master is well
//   frozen   as many nodes as have to vote wait for an answer, or a replica in step has received nothing for long
//   unclear  neither
//
// With a node timeout of T every node pings every other one at least every T/2 + 100 ms. With our 1000 ms all of them are
// waiting before the promoter asks. With longer timeouts each node pings one other node a second: without traffic the
// decision takes seconds, with traffic the replica shows it at once.

import type { NodeClaim } from '../live-store/topology.js';
import type { Testimony } from './watched-node.js';

export type Verdict = 'heard' | 'frozen' | 'unclear';

/** A healthy node answers a ping within a few ms. */
const WAITING_MS = 200;
/** Less than what passes between the freeze of a master and the promoter's question. */
const HEARD_WITHIN_MS = 600;

/** `hasReplicaStopped`: one that is in step has had nothing new from the master for long, for its pace. */
export function verdictOn(
  master: NodeClaim,
  testimonies: readonly Testimony[],
  hasReplicaStopped: boolean,
): Verdict {
  let waiting = 0;
  let masters = 0;
  for (const { nowMs, claims } of testimonies) {
    const claim = claims.find(({ id }) => id === master.id);
    if (!claim) continue;
    if (nowMs - claim.pongReceivedMs < HEARD_WITHIN_MS) return 'heard';
    masters = Math.max(masters, claims.filter(isOwner).length);
    if (claim.failing || (claim.pingSentMs > 0 && nowMs - claim.pingSentMs >= WAITING_MS)) waiting++;
  }
  return (masters > 0 && 2 * waiting > masters) || hasReplicaStopped ? 'frozen' : 'unclear';
}

export const isOwner = ({ master, slots }: NodeClaim): boolean => master && slots.length > 0;

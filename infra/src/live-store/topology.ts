// Which node owns which slots, according to the nodes themselves (CLUSTER NODES).

import { formatAddress, parseAddress } from '../node-address.js';

export interface NodeClaim {
  id: string;
  /** As announced. */
  address: string;
  /** As announced (cluster-announce-hostname), or null. */
  hostname: string | null;
  /** The node that was asked. */
  myself: boolean;
  master: boolean;
  /** The id of its master, for a replica. */
  masterId: string | null;
  /** Agreed or suspected to be down, by the node that was asked. */
  failing: boolean;
  /** When that node sent it a ping that is not answered yet; 0: none is due. By its own clock, in ms, as the next. */
  pingSentMs: number;
  /** When that node last heard of an answer. */
  pongReceivedMs: number;
  configEpoch: number;
  /** The node that was asked has a link to it over the cluster's bus. */
  linked: boolean;
  slots: [from: number, to: number][];
}

/** `askedAddress` is used for a node that does not know its own address yet. */
export function parseClusterNodes(text: string, askedAddress: string): NodeClaim[] {
  const claims: NodeClaim[] = [];
  for (const line of text.split('\n')) {
    const [id, endpoint, flagText, masterId, pingSent, pongReceived, epoch, linkState, ...slotTexts] = line
      .trim()
      .split(' ');
    if (!id || !endpoint || !flagText || epoch === undefined) continue;
    const flags = flagText.split(',');
    if (flags.includes('handshake') || flags.includes('noaddr')) continue;
    // ip:port@bus-port[,hostname]
    const [place, more = ''] = endpoint.split('@') as [string, string?];
    const announced = parseAddress(place);
    claims.push({
      id,
      address: announced.host === '' ? askedAddress : formatAddress(announced),
      hostname: more.split(',')[1] || null,
      myself: flags.includes('myself'),
      master: flags.includes('master'),
      masterId: masterId === undefined || masterId === '-' ? null : masterId,
      failing: flags.includes('fail') || flags.includes('fail?'),
      pingSentMs: Number(pingSent),
      pongReceivedMs: Number(pongReceived),
      configEpoch: Number(epoch),
      linked: linkState === 'connected',
      slots: slotTexts.filter((slot) => !slot.startsWith('[')).map(parseSlots),
    });
  }
  return claims;
}

function parseSlots(text: string): [number, number] {
  const [from, to] = text.split('-').map(Number);
  return [from as number, to ?? (from as number)];
}

interface Owner {
  address: string;
  configEpoch: number;
  /** Until then, claims of the same epoch are not believed. */
  movedUntilMs: number;
}

const MOVED_HOLDS_MS = 1000;

/**
 * The owner of each slot that we use. A greater config epoch wins, for views of different nodes arrive in any
 * order. A redirection (MOVED) carries no epoch: after one, views of an equal epoch are ignored for a second.
 */
export class SlotOwners {
  readonly #owners = new Map<number, Owner | null>();

  constructor(slots: Iterable<number>) {
    for (const slot of slots) this.#owners.set(slot, null);
  }

  ownerOf(slot: number): string | null {
    return this.#owners.get(slot)?.address ?? null;
  }

  get complete(): boolean {
    for (const owner of this.#owners.values()) if (!owner) return false;
    return true;
  }

  addresses(): Set<string> {
    const addresses = new Set<string>();
    for (const owner of this.#owners.values()) if (owner) addresses.add(owner.address);
    return addresses;
  }

  slotsOf(address: string): number[] {
    return [...this.#owners].filter(([, owner]) => owner?.address === address).map(([slot]) => slot);
  }

  /** Returns the slots whose owner changed. */
  believe(claims: readonly NodeClaim[], nowMs: number): number[] {
    const changed: number[] = [];
    for (const claim of claims) {
      if (!claim.master) continue;
      for (const [from, to] of claim.slots) {
        for (const [slot, owner] of this.#owners) {
          if (slot < from || slot > to || !outranks(claim, owner, nowMs)) continue;
          if (owner?.address !== claim.address) changed.push(slot);
          this.#owners.set(slot, {
            address: claim.address,
            configEpoch: claim.configEpoch,
            movedUntilMs: owner?.address === claim.address ? owner.movedUntilMs : 0,
          });
        }
      }
    }
    return changed;
  }

  /** Returns whether that is news. */
  moved(slot: number, address: string, nowMs: number): boolean {
    const owner = this.#owners.get(slot);
    if (owner === undefined || owner?.address === address) return false;
    const configEpoch = owner?.configEpoch ?? 0;
    this.#owners.set(slot, { address, configEpoch, movedUntilMs: nowMs + MOVED_HOLDS_MS });
    return true;
  }
}

function outranks(claim: NodeClaim, owner: Owner | null, nowMs: number): boolean {
  if (!owner || claim.configEpoch > owner.configEpoch) return true;
  if (claim.configEpoch < owner.configEpoch) return false;
  return claim.address === owner.address || nowMs >= owner.movedUntilMs;
}

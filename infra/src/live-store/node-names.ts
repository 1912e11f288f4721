// Which name a node has beside its address. Nodes know each other by IP address, and so do we; a certificate usually has
// a name. A node's certificate is checked for the first of these, which is also sent as SNI:
//
//   REDIS_TLS_SERVER_NAME             the same for all
//   cluster-announce-hostname         as CLUSTER NODES lists it
//   the host that the address has     a name in REDIS_URL, else the IP address (in the certificate as an IP address)
//
// A node that redirects by name (cluster-preferred-endpoint-type hostname) means the address that has this name.

import { formatAddress, parseAddress } from '../node-address.js';
import type { NodeClaim } from './topology.js';

export class NodeNames {
  /** By address. */
  readonly #names = new Map<string, string>();

  nameOf(address: string): string | undefined {
    return this.#names.get(address);
  }

  /** Of what a redirection names; what nobody is called is an address. */
  addressOf(announced: string): string {
    const { port } = parseAddress(announced);
    for (const [address, name] of this.#names) {
      if (parseAddress(address).port === port && formatAddress({ host: name, port }) === announced)
        return address;
    }
    return announced;
  }

  /** Returns the addresses whose name is another now. A view without a name is one that has not heard of it. */
  learn(claims: readonly NodeClaim[]): string[] {
    const changed: string[] = [];
    for (const { address, hostname } of claims) {
      if (hostname === null || this.#names.get(address) === hostname) continue;
      this.#names.set(address, hostname);
      changed.push(address);
    }
    return changed;
  }

  forget(address: string): void {
    this.#names.delete(address);
  }
}

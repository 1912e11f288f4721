// The address of a server as text: `host:port`, with an IPv6 host in brackets, as in a URL. It names a node everywhere:
// in logs, in answers, as a key. Redis writes IPv6 without brackets (`::1:7000`), so the last colon separates the port.

export interface NodeAddress {
  /** Without brackets. */
  host: string;
  port: number;
}

export function parseAddress(address: string): NodeAddress {
  const colon = address.lastIndexOf(':');
  const host = address.slice(0, colon).replace(/^\[(.*)\]$/, '$1');
  return { host, port: Number(address.slice(colon + 1)) };
}

export function formatAddress({ host, port }: NodeAddress): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

/** As a node announces it. Without a host it means the host that was asked, which does not know its own name yet. */
export function announcedAddress(announced: string, askedAddress: string): string {
  const { host, port } = parseAddress(announced);
  return formatAddress({ host: host === '' ? parseAddress(askedAddress).host : host, port });
}

/** Of `redis://HOST:PORT` or `rediss://HOST:PORT`. */
export const addressOfUrl = (url: string): string => new URL(url).host;

export const redisUrlOf = (node: NodeAddress): string => `redis://${formatAddress(node)}`;

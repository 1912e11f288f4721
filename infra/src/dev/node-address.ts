// Where a Redis node is: `host:port`, as Redis itself writes it, so an IPv6 address stands without brackets (`::1:7100`).
export interface NodePlace {
  host: string;
  port: number;
}

export const addressOf = ({ host, port }: NodePlace): string => `${host}:${port}`;

/** With brackets or without them. */
export function placeOf(address: string): NodePlace {
  const colon = address.lastIndexOf(':');
  return {
    host: address.slice(0, colon).replace(/^\[(.*)\]$/, '$1'),
    port: Number(address.slice(colon + 1)),
  };
}

/** In a URL an IPv6 address has brackets. */
export const redisUrlOf = ({ host, port }: NodePlace): string =>
  `redis://${host.includes(':') ? `[${host}]` : host}:${port}`;

import { networkInterfaces } from 'node:os';

/** Whether this machine has the IPv6 loopback address; some containers have none. */
export const hasIpv6 = Object.values(networkInterfaces()).some((all) =>
  all?.some(({ address }) => address === '::1'),
);

// The partition of a driver's session: by a hash of the id and not by place, because drivers cross borders.

/** FNV-1a, 32 bits. Every process has to agree, so it may only change together with the partition map's hash. */
function hashOf(driverId: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < driverId.length; i++) hash = Math.imul(hash ^ driverId.charCodeAt(i), 0x01000193);
  return hash >>> 0;
}

export const sessionPartitionOf = (driverId: string, partitions: number): number =>
  hashOf(driverId) % partitions;

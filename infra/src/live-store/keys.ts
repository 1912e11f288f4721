// The names of a partition's keys: all with its tag, so that they share one slot.

export interface PartitionKeys {
  positions: string;
  available: string;
  busy: string;
  meta: string;
  checkpoints: string;
  lease: string;
}

export function partitionKeys(tag: string): PartitionKeys {
  return {
    positions: `positions:{${tag}}`,
    available: `available:{${tag}}`,
    busy: `busy:{${tag}}`,
    meta: `meta:{${tag}}`,
    checkpoints: `checkpoints:{${tag}}`,
    lease: `lease:{${tag}}`,
  };
}

// How many masters and partitions carry a load. A partition cannot be divided, and a node is one core. So the master
// with the most partitions decides, now and when one master is gone and its slots are with the others.
import { CPU_AFTER_LOSS, CPU_TARGET, MIN_MASTERS } from './assumptions.js';

export interface ClusterShape {
  masters: number;
  partitions: number;
  /** Of the whole load, on the master with the most partitions. */
  greatestShare: number;
  greatestShareAfterLoss: number;
}

const MIN_PARTITIONS = 64;
/** Large enough that one partition more or less makes little difference. */
const PARTITIONS_PER_MASTER = 8;
/** As `npm run map` builds them. */
export const MAX_PARTITIONS = 4096;

/** A power of two: maps of different sizes then have borders in common. */
const partitionsFor = (masters: number): number =>
  Math.min(
    MAX_PARTITIONS,
    Math.max(MIN_PARTITIONS, 2 ** Math.ceil(Math.log2(PARTITIONS_PER_MASTER * masters))),
  );

function shapeOf(masters: number): ClusterShape {
  const partitions = partitionsFor(masters);
  const share = (nodes: number) => Math.ceil(partitions / nodes) / partitions;
  return { masters, partitions, greatestShare: share(masters), greatestShareAfterLoss: share(masters - 1) };
}

/** The smallest that carries it; `busyCores` is what all masters together need. null: none does. */
export function clusterFor(busyCores: number): ClusterShape | null {
  for (let masters = MIN_MASTERS; masters <= MAX_PARTITIONS; masters++) {
    const shape = shapeOf(masters);
    const now = busyCores * shape.greatestShare;
    const afterLoss = busyCores * shape.greatestShareAfterLoss;
    if (now <= CPU_TARGET && afterLoss <= CPU_AFTER_LOSS) return shape;
  }
  return null;
}

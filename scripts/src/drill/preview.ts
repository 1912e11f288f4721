// Before anything is broken: what each node carries, and what would make a drill worse than it has to be.
import type { Stack } from '../stack-file.js';
import { clusterNodes, type NodeView, ownersOf, replicasOf } from './cluster-view.js';
import { partitionRows, type Region, regionsOf, stretchesOf } from './regions.js';

export interface NodePreview {
  node: string;
  replicas: string[];
  partitions: number;
  ranges: { from: string; to: string }[];
  /** Listed as available or busy; null if a partition did not answer. */
  liveDrivers: number | null;
  warnings: string[];
}

export function previewOf(regions: readonly Region[], nodes: readonly NodeView[]): NodePreview[] {
  const owners = ownersOf(nodes);
  return regions.map(({ node, partitions }) => {
    const master = owners.find(({ address }) => address === node);
    const replicas = master === undefined ? [] : replicasOf(nodes, master).filter(({ failing }) => !failing);
    const ranges = stretchesOf(partitions);
    const warnings: string[] = [];
    if (ranges.length > 1)
      warnings.push(`its share is not one stretch but ${ranges.length}: holes in ${ranges.length} places`);
    if (replicas.length === 0) warnings.push('it has no replica: its region stays dark until it is back');
    const live = partitions.map(({ available, busy }) =>
      available === null || busy === null ? null : available + busy,
    );
    return {
      node,
      replicas: replicas.map(({ address }) => address),
      partitions: partitions.length,
      ranges,
      liveDrivers: live.some((count) => count === null)
        ? null
        : live.reduce<number>((sum, n) => sum + (n ?? 0), 0),
      warnings,
    };
  });
}

export async function preview(stack: Stack): Promise<NodePreview[]> {
  return previewOf(regionsOf(await partitionRows(stack)), await clusterNodes(stack));
}

export function previewText(previews: readonly NodePreview[]): string {
  return previews
    .map(({ node, replicas, partitions, ranges, liveDrivers, warnings }) => {
      const shown = ranges.map(({ from, to }) => `${from}..${to}`).join(', ');
      const lines = [
        `${node}  ${partitions} partitions  ${liveDrivers ?? 'unknown'} live drivers  replicas: ${replicas.join(', ') || 'none'}`,
        `  ${shown}`,
      ];
      return [...lines, ...warnings.map((warning) => `  WARNING: ${warning}`)].join('\n');
    })
    .join('\n');
}

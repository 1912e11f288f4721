// Regions: what each master carries, according to GET /v1/partitions.
import { signDevelopmentToken } from '@whereabouts/infra/service/development-token';
import { readSecret, type Stack } from '../stack-file.js';

export interface PartitionRow {
  partition: number;
  from: string;
  to: string;
  slot: number;
  tag: string;
  node: string | null;
  drivers: number | null;
  available: number | null;
  busy: number | null;
}

export interface Region {
  node: string;
  partitions: PartitionRow[];
}

/** A dispatcher's headers. */
export async function readerHeaders(stack: Stack): Promise<Record<string, string>> {
  const { issuer, audience } = stack.auth;
  const claims = { issuer, audience: audience.query, subject: 'drill', scope: 'drivers:read', ttlS: 7_200 };
  return { authorization: `Bearer ${await signDevelopmentToken({ secret: readSecret(stack), ...claims })}` };
}

export async function partitionRows(stack: Stack): Promise<PartitionRow[]> {
  const response = await fetch(`${stack.query.url}/v1/partitions`, { headers: await readerHeaders(stack) });
  if (!response.ok) throw new Error(`GET /v1/partitions: ${response.status} ${await response.text()}`);
  return ((await response.json()) as { partitions: PartitionRow[] }).partitions;
}

export function regionsOf(rows: readonly PartitionRow[]): Region[] {
  const byNode = new Map<string, PartitionRow[]>();
  for (const row of rows) {
    if (row.node === null) continue;
    const list = byNode.get(row.node) ?? [];
    list.push(row);
    byNode.set(row.node, list);
  }
  return [...byNode].map(([node, partitions]) => ({ node, partitions }));
}

/** Neighbouring partitions become one range. */
export function stretchesOf(rows: readonly PartitionRow[]): { from: string; to: string }[] {
  const stretches: { from: string; to: string; last: number }[] = [];
  for (const { partition, from, to } of [...rows].sort((a, b) => a.partition - b.partition)) {
    const open = stretches.at(-1);
    if (open?.last === partition - 1) Object.assign(open, { to, last: partition });
    else stretches.push({ from, to, last: partition });
  }
  return stretches.map(({ from, to }) => ({ from, to }));
}

// Which partitions nobody can write to or ask for, as query-api tells it.
import { signDevelopmentToken } from '@whereabouts/infra/service/development-token';
import { readSecret, type Stack } from '../stack-file.js';

const TIMEOUT_MS = 2_000;
/** A region that is `warming` takes writes: its term has just begun. */
const DARK: ReadonlySet<string> = new Set(['unreachable', 'timeout', 'not_ready', 'silent']);

export interface Dark {
  dark: number;
  partitions: number;
  /** Whose they are. */
  nodes: string[];
}

interface PartitionsAnswer {
  partitions: { node: string | null; health: string }[];
}

export function readerToken(stack: Stack): Promise<string> {
  return signDevelopmentToken({
    secret: readSecret(stack),
    issuer: stack.auth.issuer,
    audience: stack.auth.audience.query,
    subject: 'reader',
    scope: 'drivers:read',
    ttlS: 60,
  });
}

/** Null: query-api does not answer. */
export async function lookForDark(stack: Stack): Promise<Dark | null> {
  try {
    const response = await fetch(`${stack.query.url}/v1/partitions`, {
      headers: { authorization: `Bearer ${await readerToken(stack)}` },
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    if (!response.ok) return null;
    const { partitions } = (await response.json()) as PartitionsAnswer;
    const dark = partitions.filter(({ health }) => DARK.has(health));
    const nodes = new Set(dark.map(({ node }) => node).filter((node) => node !== null));
    return { dark: dark.length, partitions: partitions.length, nodes: [...nodes] };
  } catch {
    return null;
  }
}

export const darkText = ({ dark, partitions, nodes }: Dark): string =>
  `dark: ${dark} of ${partitions} partitions${nodes.length > 0 ? ` (${nodes.join(', ')})` : ''}`;

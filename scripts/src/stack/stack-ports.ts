// The stack's ports: the usual ones, or the next free ones where somebody else has them.
import { isPortFree, isRedisPortFree, nextFreePort } from '@whereabouts/infra/dev/ports';

export interface StackPorts {
  ingest: number;
  ingestOps: number;
  query: number;
  queryOps: number;
  flusherOps: number;
  postgres: number;
  redis: number[];
}

const USUAL = {
  ingest: 8080,
  query: 8081,
  ingestOps: 9080,
  queryOps: 9081,
  flusherOps: 9082,
  postgres: 5433,
};
const FIRST_REDIS_PORT = 7100;

/** `replaced` holds a line for each port that had to move. */
export async function chooseStackPorts(
  redisNodes: number,
): Promise<{ ports: StackPorts; replaced: string[] }> {
  const taken = new Set<number>(Object.values(USUAL));
  const replaced: string[] = [];
  const choose = async (name: string, usual: number, free = isPortFree): Promise<number> => {
    taken.delete(usual);
    const port = await nextFreePort(usual, taken, free);
    taken.add(port);
    if (port !== usual) replaced.push(`port ${usual} (${name}) is taken: ${port} instead`);
    return port;
  };
  const redis: number[] = [];
  for (let index = 0; index < redisNodes; index++) {
    redis.push(
      await choose('Redis', Math.max(FIRST_REDIS_PORT + index, (redis.at(-1) ?? 0) + 1), isRedisPortFree),
    );
  }
  const ports = {
    ingest: await choose('ingest', USUAL.ingest),
    query: await choose('query-api', USUAL.query),
    ingestOps: await choose('ingest ops', USUAL.ingestOps),
    queryOps: await choose('query-api ops', USUAL.queryOps),
    flusherOps: await choose('flusher ops', USUAL.flusherOps),
    postgres: await choose('Postgres', USUAL.postgres),
    redis,
  };
  return { ports, replaced };
}

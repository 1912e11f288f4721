// The passwords of the stack's Redis nodes: of the user with all rights, and of the replicas. They are made at each
// start and are kept in the nodes' own folders, where only this machine's user can read them.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { RedisPasswords } from '@whereabouts/infra/local/redis-node';

/** Below the stack's home; running-stack.ts starts the cluster there. */
const CLUSTER_DIR = 'redis-cluster';

/** The folder prefix of nodes that joined while the stack ran. */
export const GROWN = 'grown-';

export const clusterDir = (home: string): string => join(home, CLUSTER_DIR);

export function redisPasswords(home: string): RedisPasswords {
  const file = join(clusterDir(home), 'node-0', 'users.acl');
  const acl = readFileSync(file, 'utf8');
  const password = (user: string): string => {
    const found = new RegExp(`^user ${user} on >(\\S+)`, 'm').exec(acl)?.[1];
    if (found === undefined) throw new Error(`${file} has no password of ${user}`);
    return found;
  };
  return { admin: password('default'), replica: password('replica') };
}

export const redisAdminPassword = (home: string): string => redisPasswords(home).admin;

// The user of the stack's Redis nodes who may do everything: its password is made at each start and stands in the
// nodes' own folders, where only this machine's user can read it.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

/** Below the stack's home; running-stack.ts starts the cluster there. */
const CLUSTER_DIR = 'redis-cluster';

/** How the folders begin of nodes that joined while the stack ran. */
export const GROWN = 'grown-';

export const clusterDir = (home: string): string => join(home, CLUSTER_DIR);

export function redisAdminPassword(home: string): string {
  const file = join(clusterDir(home), 'node-0', 'users.acl');
  const password = /^user default on >(\S+)/m.exec(readFileSync(file, 'utf8'))?.[1];
  if (password === undefined) throw new Error(`${file} names no administrator`);
  return password;
}

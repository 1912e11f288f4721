// A cluster whose nodes listen on IPv6: each keeps its own address, in views and in redirections.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { withAdmin } from '../../local/redis-node.js';
import { waitFor } from '../../local/server-process.js';
import { hasIpv6 } from '../../local/testing/ipv6.js';
import { formatAddress } from '../node-address.js';
import { batchOf, startLogStore } from './testing/log-fixture.js';
import { position } from './testing/store-fixture.js';

const DEADLINE_MS = 20_000;

test('partitions are found on nodes on ::1, and again after they have moved', {
  skip: !hasIpv6,
}, async (t) => {
  const fixture = await startLogStore({ replicas: 1, host: '::1' });
  t.after(() => fixture.stop());
  const { store, cluster } = fixture;
  const all = Array.from({ length: 64 }, (_, partition) => partition);
  const append = (partition: number) => store.append(partition, batchOf(position(`d${partition}`)), 1);
  for (const partition of all) await append(partition);
  const owners = new Set(all.map((partition) => store.nodeOf(partition)));
  assert.deepEqual([...owners].sort(), cluster.nodes.slice(0, 3).map(formatAddress).sort());

  const before = store.nodeOf(0) as string;
  const role = (await fixture.command(0, 'ROLE')) as [unknown, number, unknown[][]];
  const [host, port] = (role[2][0] as unknown[]).map(String) as [string, string];
  const replica = formatAddress({ host, port: Number(port) });
  await withAdmin(replica, undefined, (node) => node.call('CLUSTER', 'FAILOVER', 'TAKEOVER'));
  await waitFor('its replica has taken over', DEADLINE_MS, async () => {
    // Whoever is asked meanwhile redirects.
    await append(0).catch(() => {});
    return store.nodeOf(0) === replica || undefined;
  });
  await waitFor('all are written to', DEADLINE_MS, async () => {
    const answers = await Promise.allSettled(all.map(append));
    return answers.every(({ status }) => status === 'fulfilled') || undefined;
  });
  const now = new Set(all.map((partition) => store.nodeOf(partition)));
  assert.deepEqual([...now].sort(), [...owners].map((owner) => (owner === before ? replica : owner)).sort());
});

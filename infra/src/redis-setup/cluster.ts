// node infra/dist/src/redis-setup/cluster.js: makes one cluster of the nodes that REDIS_URL lists, masters first. Each
// master gets one stretch of slots, so that each owns one stretch of the map. It may be run again, at each deployment:
//
//   no node knows another            all are joined; a half-finished earlier run is started over
//   the nodes of a cluster have      they meet again: all of them came back at once, each at another address
//   lost each other
//   a cluster, and nodes without     each becomes a replica of the master that has the fewest: a node that came back
//   a role beside it                 without its disk
//   a whole cluster                  nothing is done
//
//  REDIS_USERNAME and REDIS_PASSWORD are those of a user with all rights (in ours: `default`).

import { lookup } from 'node:dns/promises';
import { type ClusterShape, joinCluster, waitForCluster } from '../../local/redis-cluster-join.js';
import { adminConnection } from '../../local/redis-node.js';
import { waitFor } from '../../local/server-process.js';
import { SLOT_COUNT } from '../hash-slot.js';
import { type NodeClaim, parseClusterNodes } from '../live-store/topology.js';
import { addressOfUrl, formatAddress, parseAddress } from '../node-address.js';
import { launch } from '../service/launch.js';
import { redisSettings, SettingsReader } from '../service/settings.js';

type Redis = ReturnType<typeof adminConnection>;

/** A node as it sees itself and the others. */
interface View {
  address: string;
  redis: Redis;
  self: NodeClaim;
  claims: NodeClaim[];
}

const ANSWER_DEADLINE_MS = 180_000;
const JOIN_DEADLINE_MS = 30_000;

const say = (text: string) => process.stdout.write(`${text}\n`);
const slotsOf = ({ slots }: NodeClaim): number => slots.reduce((sum, [from, to]) => sum + to - from + 1, 0);
const hasNoRole = ({ self }: View): boolean => self.master && self.slots.length === 0;

function readShape(env: NodeJS.ProcessEnv): ClusterShape {
  const reader = new SettingsReader(env);
  const { redisUrls, password, tls } = redisSettings(reader);
  const replicas = reader.integer('REDIS_REPLICAS', {
    default: 1,
    min: 0,
    max: 5,
    about: 'replicas of each master',
  });
  const masters = redisUrls.length / (1 + replicas);
  if (redisUrls.length > 0 && !Number.isInteger(masters))
    reader.problem(
      `REDIS_URL has ${redisUrls.length} nodes: that is no number of masters with ${replicas} replicas each`,
    );
  const { serverName, ...pems } = tls ?? {};
  return {
    ...reader.finish({ masters, replicas, password }),
    addresses: redisUrls.map(addressOfUrl),
    ...(tls && { tls: { ...pems, ...(serverName && { servername: serverName }) } }),
  };
}

/** Nodes meet by IP address alone. */
function resolved(address: string): Promise<string> {
  const { host, port } = parseAddress(address);
  return waitFor(`the name ${host} is known`, ANSWER_DEADLINE_MS, async () =>
    formatAddress({ host: (await lookup(host)).address, port }),
  );
}

const claimsOf = async ({ address, redis }: Pick<View, 'address' | 'redis'>): Promise<NodeClaim[]> =>
  parseClusterNodes(String(await redis.call('CLUSTER', 'NODES')), address);

async function viewOf(address: string, redis: Redis): Promise<View> {
  await waitFor(`${address} answers`, ANSWER_DEADLINE_MS, async () => {
    if (redis.status === 'end') await redis.connect();
    return redis.ping();
  });
  const claims = await claimsOf({ address, redis });
  const self = claims.find(({ myself }) => myself);
  if (self === undefined) throw new Error(`${address} does not say who it is`);
  return { address, redis, self, claims };
}

/** Slots were assigned but no node had met another: an earlier run ended there. Nodes with keys are left alone. */
async function beginAnew(views: readonly View[]): Promise<void> {
  for (const { address, redis, self } of views) {
    if (self.slots.length === 0) continue;
    if ((await redis.dbsize()) > 0)
      throw new Error(`${address} is in no cluster, but holds keys: it is left alone`);
    await redis.call('CLUSTER', 'RESET', 'HARD');
  }
}

const knows = (claims: readonly NodeClaim[], { self }: View) => claims.some(({ id }) => id === self.id);
const isLinked = (claims: readonly NodeClaim[], { self }: View) =>
  claims.some(({ id, linked }) => id === self.id && linked);

/**
 * Nodes know each other by address, and one that moved is found because it tells the others. If all have moved at once,
 * no node finds another. A node that is met again keeps its id, its slots and its data.
 */
async function meetAgain(views: readonly View[]): Promise<void> {
  const apart = views.flatMap((from) =>
    views
      .filter((to) => to !== from && (knows(from.claims, to) || knows(to.claims, from)))
      .filter((to) => !isLinked(from.claims, to))
      .map((to) => ({ from, to })),
  );
  await Promise.all(
    apart.map(async ({ from, to }) => {
      const { host, port } = parseAddress(to.address);
      await from.redis.call('CLUSTER', 'MEET', host, port);
      await waitFor(
        `${from.address} is linked to ${to.address}`,
        JOIN_DEADLINE_MS,
        async () => isLinked(await claimsOf(from), to) || undefined,
      );
    }),
  );
  if (apart.length > 0) say('the nodes of the cluster have met again');
}

/** As the cluster sees it: a node that has just joined does not know all others. */
async function poorestMaster(cluster: View): Promise<NodeClaim> {
  const claims = await claimsOf(cluster);
  const alive = claims.filter(({ failing }) => !failing);
  const replicasOf = (id: string) => alive.filter(({ masterId }) => masterId === id).length;
  const masters = alive.filter((claim) => claim.master && slotsOf(claim) > 0);
  const [poorest] = masters.sort((a, b) => replicasOf(a.id) - replicasOf(b.id));
  if (poorest === undefined) throw new Error('no master of the cluster is alive');
  return poorest;
}

async function addReplica(view: View, cluster: View): Promise<void> {
  const entry = parseAddress(cluster.address);
  const master = await poorestMaster(cluster);
  await view.redis.call('CLUSTER', 'MEET', entry.host, entry.port);
  // Refused until it knows that master.
  await waitFor(`${view.address} is a replica`, JOIN_DEADLINE_MS, () =>
    view.redis.call('CLUSTER', 'REPLICATE', master.id),
  );
  // The next node has to see this.
  await waitFor(`the cluster knows that ${view.address} is a replica`, JOIN_DEADLINE_MS, async () => {
    const known = await claimsOf(cluster);
    return (
      known.some(({ address, masterId }) => address === view.address && masterId === master.id) || undefined
    );
  });
  say(`${view.address} is a replica of ${master.address}`);
}

async function complete(views: readonly View[]): Promise<void> {
  await meetAgain(views);
  const [cluster] = views.filter(({ self }) => self.slots.length > 0);
  if (cluster === undefined) throw new Error('there is a cluster, but none of the nodes given owns slots');
  const owned = cluster.claims.reduce((sum, claim) => sum + (claim.master ? slotsOf(claim) : 0), 0);
  if (owned < SLOT_COUNT)
    throw new Error(`there is a cluster in which ${SLOT_COUNT - owned} slots are nobody's: mend it by hand`);
  const idle = views.filter(hasNoRole);
  for (const view of idle) await addReplica(view, cluster);
  if (idle.length === 0) say('the cluster is there: nothing to do');
}

await launch('redis-setup', async () => {
  const given = readShape(process.env);
  const shape = { ...given, addresses: await Promise.all(given.addresses.map(resolved)) };
  const connections = shape.addresses.map((address) => adminConnection(address, shape.password, shape.tls));
  try {
    const views = await Promise.all(
      shape.addresses.map((address, i) => viewOf(address, connections[i] as Redis)),
    );
    if (views.some(({ claims }) => claims.length > 1)) return await complete(views);
    await beginAnew(views);
    await joinCluster(shape);
    await waitForCluster(shape);
    say(`made a cluster of ${shape.masters} masters with ${shape.replicas} replicas each`);
  } finally {
    for (const connection of connections) connection.disconnect();
  }
});

// A promoter whose own way to a healthy master is blocked, as by a network that loses its packets: the master announces
// the port of a proxy that stops forwarding what comes from the promoter, and nothing else.

import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { type AddressInfo, createServer, connect as netConnect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { Redis } from 'ioredis';
import { findRedisServer } from '../../local/find-servers.js';
import { withAdmin } from '../../local/redis-node.js';
import { type RedisCluster, startRedisCluster } from '../../local/redis-servers.js';
import { waitFor } from '../../local/server-process.js';
import { keySlot } from '../hash-slot.js';
import { QUIET } from '../live-store/testing/store-fixture.js';
import { createMetrics } from '../service/metrics.js';
import { Promoter } from './promoter.js';

const DEADLINE_MS = 20_000;
const USER = {
  name: 'the-promoter',
  password: 'secret-of-the-promoter',
  rules: '+auth +hello +ping +info +cluster|nodes +cluster|info +cluster|failover',
};

/** Forwards everything, but what comes from our user once it is blocked. */
class ProxyBefore {
  readonly #server = createServer((from) => this.#forward(from));
  readonly #sockets = new Set<Socket>();
  blocked = false;
  /** Connections of our user that were made while it was blocked: so often it has tried. */
  blockedConnections = 0;

  async listen(target: number): Promise<number> {
    this.#target = target;
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    return (this.#server.address() as AddressInfo).port;
  }
  #target = 0;

  close(): void {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
  }

  #forward(from: Socket): void {
    const to = netConnect(this.#target, '127.0.0.1');
    let isOurs = false;
    for (const socket of [from, to]) {
      this.#sockets.add(socket);
      socket.on('error', () => {});
      socket.on('close', () => {
        from.destroy();
        to.destroy();
      });
    }
    from.on('data', (data) => {
      if (!isOurs && data.includes(USER.name)) {
        isOurs = true;
        if (this.blocked) this.blockedConnections++;
      }
      if (!(isOurs && this.blocked)) to.write(data);
    });
    to.on('data', (data) => {
      if (!(isOurs && this.blocked)) from.write(data);
    });
  }
}

for (const nodeTimeoutMs of [1000, 60_000])
  describe(`at a node timeout of ${nodeTimeoutMs} ms`, () => {
    const isQuick = nodeTimeoutMs === 1000;
    let dir: string;
    let cluster: RedisCluster;
    let promoter: Promoter;
    let master: number;
    const proxy = new ProxyBefore();
    const connections: Redis[] = [];
    const metrics = createMetrics('promoter', { commit: 'test' });

    const checkOf = (what: string) => promoter.readiness().checks.find((check) => check.name === what);
    const promotions = async () =>
      (await metrics.registry.metrics())
        .split('\n')
        .filter((line) => line.startsWith('whereabouts_promoter_promotions_total'));
    const onNode = (port: number, ...args: [string, ...(string | number)[]]) =>
      withAdmin(`127.0.0.1:${port}`, cluster.password, (node) => node.call(...args));

    /** Two keys of each master are written all the time, as by drivers. */
    function writeAlways(): void {
      const keys = Array.from({ length: 300 }, (_, i) => `key-${i}`);
      for (const [i, { port }] of cluster.nodes.slice(0, 3).entries()) {
        const key = keys.find((each) => Math.floor((keySlot(each) * 3) / 16_384) === i) as string;
        const auth = cluster.password === undefined ? {} : { password: cluster.password };
        const node = new Redis({ port, ...auth, maxRetriesPerRequest: 0, retryStrategy: () => 100 });
        node.on('error', () => {});
        connections.push(node);
        setInterval(() => node.set(key, Date.now()).catch(() => {}), 20).unref();
      }
    }

    before(async () => {
      dir = await mkdtemp(join(tmpdir(), 'whereabouts-blocked-'));
      const redisServer = await findRedisServer();
      cluster = await startRedisCluster({
        masters: 3,
        replicas: 1,
        dir,
        redisServer,
        nodeTimeoutMs,
        users: [USER],
      });
      const ports = cluster.nodes.map(({ port }) => port);
      master = ports[1] as number;
      const announced = await proxy.listen(master);
      await onNode(master, 'CONFIG', 'SET', 'cluster-announce-port', announced);
      // So that the others learn of it at once.
      for (const port of ports)
        await waitFor('everybody knows the proxy', DEADLINE_MS, async () => {
          await onNode(master, 'CLUSTER', 'MEET', '127.0.0.1', port);
          return String(await onNode(port, 'CLUSTER', 'NODES')).includes(`:${announced}@`) || undefined;
        });
      if (!isQuick) writeAlways();
      const redisUrls = [`redis://127.0.0.1:${ports[0]}`];
      const timeouts = { commandTimeoutMs: 300, connectTimeoutMs: 500, socketTimeoutMs: 500 };
      const redis = { redisUrls, ...timeouts, username: USER.name, password: USER.password };
      promoter = new Promoter({ redis, log: QUIET, metrics });
      await promoter.start();
      await waitFor('the cluster is watched, with its replicas', DEADLINE_MS, () => {
        const isWatched = checkOf('cluster')?.detail === '3 masters are watched';
        return (isWatched && checkOf('replicas')?.ok) || undefined;
      });
    });

    after(async () => {
      promoter.stop();
      for (const connection of connections) connection.disconnect();
      proxy.close();
      await cluster.stop();
      await rm(dir, { recursive: true, force: true });
    });

    test(`a master that is silent to the promoter alone is not replaced`, async () => {
      proxy.blocked = true;
      await waitFor('it is told', DEADLINE_MS, () => checkOf('witnesses')?.ok === false || undefined);
      await waitFor(
        'it has tried again and again',
        DEADLINE_MS,
        () => proxy.blockedConnections > 8 || undefined,
      );
      assert.deepEqual(await promotions(), []);
      const role = (await onNode(master, 'ROLE')) as unknown[];
      assert.equal(role[0], 'master');
      proxy.blocked = false;
      await waitFor('it answers again', DEADLINE_MS, () => checkOf('witnesses')?.ok || undefined);
    });

    test(`and is replaced when it freezes while it is`, async () => {
      proxy.blocked = true;
      await waitFor('it is told', DEADLINE_MS, () => checkOf('witnesses')?.ok === false || undefined);
      cluster.kill(master, 'SIGSTOP');
      try {
        await waitFor(
          'it is replaced',
          DEADLINE_MS,
          async () =>
            (await promotions()).some((line) => line.includes('frozen') && line.includes('promoted')) ||
            undefined,
        );
      } finally {
        cluster.kill(master, 'SIGCONT');
        proxy.blocked = false;
      }
    });
  });

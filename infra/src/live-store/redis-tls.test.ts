// The live store and the promoter on clusters that speak TLS alone, with certificates made here.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { findRedisServer } from '../../local/find-servers.js';
import { withAdmin } from '../../local/redis-node.js';
import { waitFor } from '../../local/server-process.js';
import { hasOpenssl, TestAuthority } from '../../local/testing/certificates.js';
import { addressOfUrl, formatAddress } from '../node-address.js';
import { Promoter } from '../promoter/promoter.js';
import { FIRST_ID } from '../record.js';
import { createMetrics } from '../service/metrics.js';
import type { RedisTls } from '../service/redis-tls.js';
import type { RedisSettings } from '../service/settings.js';
import { NodeConnection } from './node-connection.js';
import { NodeNames } from './node-names.js';
import { batchOf, type LogFixture, startLogStore } from './testing/log-fixture.js';
import { position, QUIET } from './testing/store-fixture.js';
import { parseClusterNodes } from './topology.js';

const DEADLINE_MS = 20_000;
const TIMEOUTS = { commandTimeoutMs: 300, connectTimeoutMs: 500, socketTimeoutMs: 500 };
const ALL = Array.from({ length: 64 }, (_, partition) => partition);

const redisServer = await findRedisServer();
/** One that was built with TLS ends because it has no certificate, one without because it knows no TLS. */
const asked = spawnSync(redisServer, ['--port', '0', '--tls-port', '1'], {
  encoding: 'utf8',
  timeout: 5_000,
});
const speaksTls = /tls-cert-file/.test(`${asked.stdout}${asked.stderr}`);
if (!speaksTls) console.log(`${redisServer} was built without TLS: its tests are skipped`);
const skip = !hasOpenssl || !speaksTls;

const dir = mkdtempSync(join(tmpdir(), 'whereabouts-tls-'));
after(() => rmSync(dir, { recursive: true }));

const settings = (fixture: LogFixture, tls: RedisTls, redisUrls = fixture.cluster.urls): RedisSettings => ({
  redisUrls: [...redisUrls],
  tls,
  ...TIMEOUTS,
});

/** A service with these settings cannot start, and says why. A busy machine may hide that behind a timeout. */
async function assertRefused(fixture: LogFixture, redis: RedisSettings, why: RegExp): Promise<void> {
  await waitFor('it is refused, for that reason', DEADLINE_MS, async () => {
    await assert.rejects(fixture.connect({ redis, connectDeadlineMs: 1_000 }), why);
    return true;
  });
}

describe('nodes with an IP address in their certificate, which ask for ours', { skip }, () => {
  let fixture: LogFixture;
  let tls: RedisTls;

  before(async () => {
    const authority = new TestAuthority(dir, 'ours');
    const node = authority.certificate('node', ['IP:127.0.0.1']);
    const { cert, key } = authority.certificate('service', ['DNS:service']);
    tls = { ca: authority.ca, cert, key };
    fixture = await startLogStore({
      tls: { ...node, caFile: authority.caFile, asksForCertificates: true, admin: tls },
      connects: tls,
    });
  });
  after(() => fixture?.stop());

  test('every partition is written to and read, also more than one TLS record at once', async () => {
    const { store } = fixture;
    const many = Array.from({ length: 2_000 }, (_, i) => position(`driver-${i}`));
    await Promise.all(ALL.map((partition) => store.append(partition, batchOf(...many), many.length)));
    const page = await store.entries(7, FIRST_ID, 10);
    assert.ok((page.entries[0]?.batch.length ?? 0) > 65_536);
  });

  test('messages between processes arrive', async () => {
    const other = await fixture.connect();
    const heard: string[] = [];
    let isSubscribed = false;
    const channel = other.subscribe('one', {
      onSubscribed: () => {
        isSubscribed = true;
      },
      onMessage: (text) => heard.push(text),
    });
    try {
      await waitFor('it is subscribed', DEADLINE_MS, () => isSubscribed || undefined);
      await fixture.store.publish('one', 'hello');
      await waitFor('it is heard', DEADLINE_MS, () => heard.includes('hello') || undefined);
    } finally {
      channel.close();
    }
  });

  test('another authority than theirs is refused, and said', async () => {
    const { ca } = new TestAuthority(dir, 'another');
    const why = /rediss:.*127\.0\.0\.1:\d+: .*certificate/;
    await assertRefused(fixture, settings(fixture, { ...tls, ca }), why);
  });

  test('without a certificate of ours we are refused, and told', async () => {
    const { ca } = tls as Required<RedisTls>;
    const why = /127\.0\.0\.1:\d+: .*(certificate required|ECONNRESET|EPIPE).*: .*give REDIS_TLS_CERT_FILE/;
    await assertRefused(fixture, settings(fixture, { ca }), why);
  });
});

describe('nodes with names in their certificate', { skip }, () => {
  let fixture: LogFixture;
  let ca: string;
  const hostnames = ALL.slice(0, 6).map((index) => `node-${index}.redis.test`);

  before(async () => {
    const authority = new TestAuthority(dir, 'names');
    const node = authority.certificate('node', ['DNS:localhost', 'DNS:*.redis.test']);
    ca = authority.ca;
    fixture = await startLogStore({
      replicas: 1,
      tls: {
        ...node,
        caFile: authority.caFile,
        asksForCertificates: false,
        hostnames,
        admin: { ca, servername: 'localhost' },
      },
      connects: { ca, serverName: 'any.redis.test' },
    });
  });
  after(() => fixture?.stop());

  const byName = () => fixture.cluster.urls.map((url) => url.replace('127.0.0.1', 'localhost'));

  test('one name for all: every node is verified for that', async () => {
    for (const partition of ALL) await fixture.store.append(partition, batchOf(position('anna')), 1);
  });

  test('a name that the certificates lack is refused, and said', async () => {
    const other = settings(fixture, { ca, serverName: 'redis.elsewhere' });
    await assertRefused(fixture, other, /redis\.elsewhere\. is not in the cert/);
    await assertRefused(fixture, settings(fixture, { ca }), /IP: 127\.0\.0\.1 is not in the cert/);
  });

  test('connections that are refused, and closed at any moment, do no harm', async () => {
    const refused = settings(fixture, { ca, serverName: 'redis.elsewhere' });
    for (let closed = 0; closed < 100; closed++) {
      const connection = new NodeConnection(addressOfUrl(fixture.cluster.urls[0] as string), refused);
      await new Promise((resolve) => setTimeout(resolve, closed % 25));
      connection.close();
    }
  });

  test('names that nodes announce are theirs, also in redirections', async () => {
    const store = await fixture.connect({ redis: settings(fixture, { ca }, byName()) });
    const addresses = fixture.cluster.nodes.map(formatAddress);
    await waitFor(
      'all are found by their IP address',
      DEADLINE_MS,
      () => ALL.every((partition) => addresses.includes(store.nodeOf(partition) ?? '')) || undefined,
    );
    const admin = { ca, servername: 'localhost' };
    for (const address of addresses) {
      const set = ['SET', 'cluster-preferred-endpoint-type', 'hostname'];
      await withAdmin(address, undefined, (node) => node.call('CONFIG', set), admin);
    }
    const replicaOfFirst = addresses[3] as string;
    await withAdmin(replicaOfFirst, undefined, (node) => node.call('CLUSTER', 'FAILOVER', 'TAKEOVER'), admin);
    await waitFor('its replica has taken over', DEADLINE_MS, async () => {
      const answers = await Promise.allSettled(
        ALL.map((partition) => store.append(partition, batchOf(position('bob')), 1)),
      );
      for (const partition of ALL) assert.match(store.nodeOf(partition) as string, /^127\.0\.0\.1:/);
      const isDone = answers.every(({ status }) => status === 'fulfilled');
      return (isDone && ALL.some((partition) => store.nodeOf(partition) === replicaOfFirst)) || undefined;
    });
  });

  test('the promoter reaches all of them by those names', async () => {
    const redis = settings(fixture, { ca }, byName());
    const promoter = new Promoter({
      redis,
      log: QUIET,
      metrics: createMetrics('promoter', { commit: 'none' }),
    });
    await promoter.start();
    try {
      await waitFor('each master has a replica that could take over', DEADLINE_MS, () => {
        const { ready, checks } = promoter.readiness();
        const masters = checks.find(({ name }) => name === 'cluster')?.detail;
        return (ready && masters === '3 masters are watched' && checks.every(({ ok }) => ok)) || undefined;
      });
    } finally {
      promoter.stop();
    }
  });

  test('the promoter says why it reaches nobody', async () => {
    const metrics = createMetrics('promoter', { commit: 'none' });
    const promoter = new Promoter({
      redis: settings(fixture, { ca: undefined as never }),
      log: QUIET,
      metrics,
    });
    await promoter.start();
    try {
      await waitFor(
        'it says so',
        DEADLINE_MS,
        () => /certificate/.test(promoter.readiness().checks[0]?.detail ?? '') || undefined,
      );
      assert.equal(promoter.readiness().ready, false);
    } finally {
      promoter.stop();
    }
  });
});

test('names: as CLUSTER NODES tells them', () => {
  const line = (id: string, endpoint: string) => `${id} ${endpoint} master - 0 1 1 connected 0-1`;
  const text = [
    line('a', '10.0.0.1:7000@17000,one.test'),
    line('b', '[::1]:7001@17001,'),
    line('c', '10.0.0.3:7002@17002'),
  ];
  const claims = parseClusterNodes(text.join('\n'), '10.0.0.1:7000');
  assert.deepEqual(
    claims.map(({ hostname }) => hostname),
    ['one.test', null, null],
  );
  const names = new NodeNames();
  assert.deepEqual(names.learn(claims), ['10.0.0.1:7000']);
  assert.deepEqual(names.learn(claims), [], 'it is known');
  assert.equal(names.addressOf('one.test:7000'), '10.0.0.1:7000');
  assert.equal(names.addressOf('one.test:7001'), 'one.test:7001', 'another port is another node');
  assert.equal(names.addressOf('10.0.0.9:1'), '10.0.0.9:1');
  const other = claims.map((claim) => ({ ...claim, hostname: claim.hostname && 'two.test' }));
  assert.deepEqual(names.learn(other), ['10.0.0.1:7000']);
  assert.deepEqual(names.learn(claims.map((claim) => ({ ...claim, hostname: null }))), []);
  assert.equal(names.nameOf('10.0.0.1:7000'), 'two.test');
});

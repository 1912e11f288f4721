// Nodes that answer, but lack something that every call needs: told as dark, and back by themselves once they have it.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { withAdmin } from '../../local/redis-node.js';
import { waitFor } from '../../local/server-process.js';
import { LogStore } from './log-store.js';
import type { StoreError } from './store-error.js';
import { batchOf, type LogFixture, startLogStore } from './testing/log-fixture.js';
import { position, QUIET, rejects } from './testing/store-fixture.js';

const DEADLINE_MS = 20_000;
const INGEST = { username: 'ingest', password: 'ingest-secret' };
const FLUSHER = { username: 'flusher', password: 'flusher-secret' };
const MAY_ALL = ['~*', '+@all'];

let fixture: LogFixture;
/** As ingest has it: it loads no functions. */
let ingest: LogStore;
let flusher: LogStore;
let nextDriver = 0;

before(async () => {
  fixture = await startLogStore();
  await setUser('ingest', 'on', `>${INGEST.password}`, ...MAY_ALL);
  await setUser('flusher', 'on', `>${FLUSHER.password}`, ...MAY_ALL);
  // The fixture's own would load functions too.
  fixture.store.close();
  ingest = await connect(INGEST, false);
  flusher = await connect(FLUSHER, true);
});
after(async () => {
  ingest.close();
  flusher.close();
  await fixture.stop();
});

function connect(user: { username: string; password: string }, loadsFunctions: boolean): Promise<LogStore> {
  const timeouts = { commandTimeoutMs: 300, connectTimeoutMs: 500, socketTimeoutMs: 500 };
  const redis = { redisUrls: fixture.cluster.urls, ...timeouts, ...user };
  return LogStore.connect({ redis, map: fixture.map, log: QUIET, loadsFunctions });
}

async function setUser(name: string, ...rules: string[]): Promise<void> {
  for (const { host, port } of fixture.cluster.nodes)
    await withAdmin(`${host}:${port}`, undefined, (node) => node.call('ACL', 'SETUSER', name, ...rules));
}

const onNode = (address: string, ...args: [string, ...string[]]) =>
  withAdmin(address, undefined, (node) => node.call(...args));

const ALL = Array.from({ length: 64 }, (_, i) => i);
const partitionsOf = (address: string) => ALL.filter((partition) => ingest.nodeOf(partition) === address);
const append = (partition: number) =>
  ingest.append(partition, batchOf(position(`driver-${nextDriver++}`)), 1);

/** A service that writes to its partitions all the time: only a call of a function shows that it is missing. */
async function lookingAt<T>(store: LogStore, address: string, work: () => Promise<T>): Promise<T> {
  const timer = setInterval(() => {
    for (const partition of partitionsOf(address)) store.touch(partition).catch(() => {});
  }, 50);
  try {
    return await work();
  } finally {
    clearInterval(timer);
  }
}

/** Breaks the node under load, waits until exactly its partitions are told as dark, mends it, and waits until they are back. */
async function darkWhile(address: string, lacks: () => Promise<unknown>, mend: () => Promise<unknown>) {
  const here = partitionsOf(address);
  const elsewhere = ALL.filter((partition) => !here.includes(partition));
  assert.ok(here.length > 0 && elsewhere.length > 0);
  const codes = new Set<string>();
  const load = setInterval(() => {
    for (const partition of here) append(partition).catch((error: StoreError) => codes.add(error.code));
  }, 10);
  try {
    await lacks();
    await waitFor(
      'its partitions are dark',
      DEADLINE_MS,
      () => here.every((p) => !ingest.reachable(p)) || undefined,
    );
    assert.deepEqual(
      elsewhere.filter((p) => !ingest.reachable(p)),
      [],
    );
    for (const p of elsewhere) await append(p);
    await mend();
    await waitFor('they are back', DEADLINE_MS, () => here.every((p) => ingest.reachable(p)) || undefined);
  } finally {
    clearInterval(load);
  }
  for (const p of here) await append(p);
  return codes;
}

test('a node that loses its functions under load is dark until the flusher has loaded them again', async () => {
  const address = ingest.nodeOf(0) as string;
  await lookingAt(flusher, address, async () => {
    for (let round = 0; round < 3; round++) {
      const lost: number[] = [];
      ingest.onUnreachable((partition) => lost.push(partition));
      await onNode(address, 'FUNCTION', 'FLUSH');
      const here = partitionsOf(address);
      await waitFor('written again', DEADLINE_MS, async () => {
        const answers = await Promise.allSettled(here.map(append));
        return (lost.length > 0 && answers.every(({ status }) => status === 'fulfilled')) || undefined;
      });
      assert.deepEqual(
        [...new Set(lost)].sort((a, b) => a - b),
        here,
      );
    }
  });
});

test('loading that is refused for a while is tried until it succeeds', async () => {
  const address = ingest.nodeOf(32) as string;
  await lookingAt(flusher, address, async () => {
    const refused = async () => {
      const log = String(await onNode(address, 'ACL', 'LOG'));
      return Number(/count,(\d+),reason,command,context,toplevel,object,function\|load/.exec(log)?.[1] ?? 0);
    };
    await setUser('flusher', '-function|load');
    await onNode(address, 'ACL', 'LOG', 'RESET');
    const codes = await darkWhile(
      address,
      () => onNode(address, 'FUNCTION', 'FLUSH'),
      async () => {
        await waitFor(
          'it has failed three times',
          DEADLINE_MS,
          async () => (await refused()) >= 3 || undefined,
        );
        await setUser('flusher', '+function|load');
      },
    );
    assert.deepEqual([...codes].sort(), ['not_ready', 'region_unavailable']);
  });
});

test('functions of another version alone are none', async () => {
  const address = ingest.nodeOf(63) as string;
  const other = `#!lua name=whereabouts_log_0\nredis.register_function('append_0', function() return 1 end)`;
  await lookingAt(flusher, address, async () => {
    await onNode(address, 'FUNCTION', 'FLUSH');
    await onNode(address, 'FUNCTION', 'LOAD', other);
    await waitFor('written again', DEADLINE_MS, async () => {
      const answers = await Promise.allSettled(partitionsOf(address).map(append));
      return answers.every(({ status }) => status === 'fulfilled') || undefined;
    });
    assert.match(String(await onNode(address, 'FUNCTION', 'LIST')), /append_0/);
  });
});

test('a user that may not call us, and one whose rights come back', async () => {
  const address = ingest.nodeOf(0) as string;
  const codes = await darkWhile(
    address,
    () => onNode(address, 'ACL', 'SETUSER', 'ingest', '-fcall'),
    () => onNode(address, 'ACL', 'SETUSER', 'ingest', '+fcall'),
  );
  assert.deepEqual([...codes].sort(), ['not_ready', 'region_unavailable']);
});

test('a node where every partition refuses with an error that is not known', async () => {
  const address = ingest.nodeOf(63) as string;
  // Within a function it is no NOPERM, but an error like any other.
  const codes = await darkWhile(
    address,
    () => onNode(address, 'ACL', 'SETUSER', 'ingest', '-hset'),
    () => onNode(address, 'ACL', 'SETUSER', 'ingest', '+hset'),
  );
  assert.deepEqual([...codes].sort(), ['refused', 'region_unavailable']);
});

test('a node that takes no writes for want of replicas, by a setting of its operator', async () => {
  const address = ingest.nodeOf(0) as string;
  const codes = await darkWhile(
    address,
    () => onNode(address, 'CONFIG', 'SET', 'min-replicas-to-write', '1'),
    () => onNode(address, 'CONFIG', 'SET', 'min-replicas-to-write', '0'),
  );
  assert.deepEqual([...codes], ['region_unavailable']);
});

test('a partition whose keys are of another type stands for itself alone, not for its node', async () => {
  const address = ingest.nodeOf(0) as string;
  const [broken, ...others] = partitionsOf(address) as [number, ...number[]];
  const key = `meta:{${fixture.map.tagOf(broken)}}`;
  await onNode(address, 'DEL', key);
  await onNode(address, 'SET', key, 'not a hash');
  try {
    assert.equal(await rejects(append(broken)), 'refused');
    // Suspect, for whatever reason: the probe of this very partition cannot succeed.
    await darkWhile(
      address,
      () => onNode(address, 'CONFIG', 'SET', 'min-replicas-to-write', '1'),
      async () => {
        await onNode(address, 'CONFIG', 'SET', 'min-replicas-to-write', '0');
        await waitFor(
          'the node is back',
          DEADLINE_MS,
          () => others.every((p) => ingest.reachable(p)) || undefined,
        );
        for (const p of others) await append(p);
        await onNode(address, 'DEL', key);
      },
    );
  } finally {
    await onNode(address, 'DEL', key);
  }
});

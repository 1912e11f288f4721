import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseClusterNodes } from './topology.js';

const line = (id: string, endpoint: string, flags: string, rest: string) =>
  `${id} ${endpoint} ${flags} ${rest}`;

test('each node keeps its own address, also on IPv6, and has one name', () => {
  const text = [
    line('m1', '::1:7000@17000', 'myself,master', '- 0 0 1 connected 0-5460'),
    line('m2', '::1:7001@17001,redis-2.internal', 'master', '- 0 0 2 connected 5461-10922'),
    line('m3', 'fd00::2:a:7002@17002,,shard-id=ab', 'master', '- 0 0 3 connected 10923-16383 [5-<-m1]'),
    line('r1', '127.0.0.1:7003@17003', 'slave,fail?', 'm1 0 0 1 disconnected'),
  ].join('\n');
  assert.deepEqual(
    parseClusterNodes(text, '[::1]:7000').map(({ address }) => address),
    ['[::1]:7000', '[::1]:7001', '[fd00::2:a]:7002', '127.0.0.1:7003'],
  );
});

test('one that does not know its own address yet goes by the one that it was asked at', () => {
  const claims = parseClusterNodes(
    line('m1', ':7000@17000', 'myself,master', '- 0 0 0 connected 0-9'),
    '[::1]:17000',
  );
  assert.deepEqual(
    claims.map(({ address, slots }) => [address, slots]),
    [['[::1]:17000', [[0, 9]]]],
  );
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { addressOfUrl, announcedAddress, formatAddress, parseAddress } from './node-address.js';

test('the last colon divides, with brackets or without', () => {
  for (const [text, host, port] of [
    ['127.0.0.1:7000', '127.0.0.1', 7000],
    ['redis-1.internal:6379', 'redis-1.internal', 6379],
    ['::1:7000', '::1', 7000],
    ['[::1]:7000', '::1', 7000],
    ['fd00::2:a:17000', 'fd00::2:a', 17_000],
    ['[fd00::2:a]:1', 'fd00::2:a', 1],
  ] as const)
    assert.deepEqual(parseAddress(text), { host, port }, text);
});

test('one node has one name, however it was told', () => {
  const names = [
    announcedAddress('::1:7000', '[::1]:7001'),
    announcedAddress(':7000', '[::1]:7001'),
    announcedAddress('[::1]:7000', '127.0.0.1:7001'),
    addressOfUrl('redis://[::1]:7000'),
    addressOfUrl('redis://[0:0:0:0:0:0:0:1]:7000/'),
    formatAddress({ host: '::1', port: 7000 }),
  ];
  assert.deepEqual([...new Set(names)], ['[::1]:7000']);
  assert.equal(announcedAddress(':7000', '10.0.0.1:7001'), '10.0.0.1:7000');
  assert.equal(addressOfUrl('redis://redis-1:7000'), formatAddress({ host: 'redis-1', port: 7000 }));
});

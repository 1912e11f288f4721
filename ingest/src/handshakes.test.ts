import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Handshakes } from './handshakes.js';

const LIMITS = { inAll: 5, ofAddress: 3 };

test('so many of an address, so many in all', () => {
  const handshakes = new Handshakes(LIMITS);
  const open = (address: string) => {
    const stays = handshakes.opened(address, 0);
    if (!stays) handshakes.left();
    return stays;
  };
  assert.deepEqual(['a', 'a', 'a', 'a'].map(open), [true, true, true, false]);
  assert.deepEqual(['b', 'b', 'b', 'c'].map(open), [true, true, false, false]);
  assert.equal(handshakes.size, 5);
});

test('who asks makes room for its address, and for all when it has left', () => {
  const handshakes = new Handshakes(LIMITS);
  for (let i = 0; i < 100; i++) {
    assert.equal(handshakes.opened('a', i), true);
    handshakes.asked('a');
    handshakes.left();
  }
  assert.equal(handshakes.size, 0);
});

test('sockets that stayed silent are forgotten when uWebSockets.js has closed them', () => {
  const handshakes = new Handshakes(LIMITS);
  for (const atMs of [0, 1, 2]) handshakes.opened('a', atMs);
  assert.equal(handshakes.opened('a', 10_000), false);
  for (let i = 0; i < 4; i++) handshakes.left();
  assert.equal(handshakes.opened('a', 14_001), true);
  handshakes.forgetOld(40_000);
  handshakes.left();
  for (const atMs of [40_001, 40_002, 40_003]) assert.equal(handshakes.opened('a', atMs), true);
});

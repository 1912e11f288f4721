import assert from 'node:assert/strict';
import { test } from 'node:test';
import { keySlot, SLOT_COUNT, slotTag } from './hash-slot.js';

test('slots are those of CLUSTER KEYSLOT', () => {
  assert.equal(keySlot('123456789'), 0x31c3);
  assert.equal(keySlot('foo'), 12_182);
  assert.equal(keySlot('bar'), 5061);
  assert.equal(keySlot('żółć'), 13_032);
  assert.equal(keySlot(''), 0);
});

test('only a tag that holds something is hashed alone', () => {
  assert.equal(keySlot('{user1000}.following'), keySlot('user1000'));
  assert.equal(keySlot('wb:{3x}:positions'), keySlot('3x'));
  assert.equal(keySlot('foo{}{bar}'), 8363);
  assert.equal(keySlot('foo{{bar}}zap'), keySlot('{bar'));
  assert.equal(keySlot('foo{bar}{zap}'), keySlot('bar'));
  assert.equal(keySlot('foo{bar'), 15_278);
  assert.equal(keySlot('}foo{bar}'), keySlot('bar'));
});

test('every slot has a tag of at most 4 characters that leads to it', () => {
  for (let slot = 0; slot < SLOT_COUNT; slot++) {
    const tag = slotTag(slot);
    assert.match(tag, /^[0-9a-z]{1,4}$/);
    assert.equal(keySlot(`any:{${tag}}:thing`), slot);
  }
});

test('a tag is the first in base 36, so that every process agrees', () => {
  assert.equal(slotTag(keySlot('0')), '0');
  assert.equal(slotTag(keySlot('z')), 'z');
  assert.equal(slotTag(keySlot('10')), '10');
});

test('there is no tag for a slot that is none', () => {
  for (const slot of [-1, SLOT_COUNT, 0.5, Number.NaN]) assert.throws(() => slotTag(slot), RangeError);
});

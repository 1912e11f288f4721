import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Conducts } from './conducts.js';

const LIMITS = { reports: { perS: 5, burst: 10 }, checkpoints: { perS: 1 / 6, burst: 20 } };
const at = (nowMs: number) => ({ nowMs, stalledMs: 0 });

test('who has left is remembered until nothing is lost by forgetting it', () => {
  const conducts = new Conducts(LIMITS, 100);
  const conduct = conducts.of('a', 0);
  conducts.connected('a');
  conduct.reports(10, at(0));
  conducts.left('a');
  conducts.forgetRested(1000);
  assert.equal(conducts.of('a', 1000), conduct);
  conducts.left('a');
  conducts.forgetRested(2000);
  assert.equal(conducts.find('a'), undefined);
});

test('who is connected is remembered, whatever it does', () => {
  const conducts = new Conducts(LIMITS, 100);
  const conduct = conducts.of('a', 0);
  conducts.connected('a');
  conducts.forgetRested(3_600_000);
  assert.equal(conducts.find('a'), conduct);
});

test('a strike is remembered for ten minutes', () => {
  const conducts = new Conducts(LIMITS, 100);
  conducts.of('a', 0).strike(0);
  conducts.forgetRested(599_000);
  assert.ok(conducts.find('a'));
  conducts.forgetRested(601_000);
  assert.equal(conducts.find('a'), undefined);
});

test('beyond the bound the one who left first is forgotten', () => {
  const conducts = new Conducts(LIMITS, 3);
  for (const id of ['a', 'b', 'c']) conducts.of(id, 0).strike(0);
  conducts.left('a');
  conducts.of('d', 0).strike(0);
  assert.deepEqual(
    ['a', 'b', 'c', 'd'].filter((id) => conducts.find(id)),
    ['a', 'c', 'd'],
  );
  assert.equal(conducts.size, 3);
});

test('all of many are looked at in time', () => {
  const conducts = new Conducts(LIMITS, 10_000);
  for (let i = 0; i < 2000; i++) conducts.of(`d${i}`, 0);
  for (let i = 0; i < 10; i++) conducts.forgetRested(1000);
  assert.equal(conducts.size, 0);
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { PartitionState } from '@whereabouts/infra/live-store/answers';
import { validatePosition } from '@whereabouts/infra/position';
import { Fleet } from './fleet.js';
import { Healer, type Loss } from './healer.js';

function state(o: Partial<PartitionState>): PartitionState {
  return {
    partition: 0,
    epoch: 'e1',
    reign: 'r1',
    previous: '',
    base: 0,
    revision: 0,
    flushed: 0,
    nowMs: 0,
    seenAtMs: 0,
    reignAtMs: 1,
    dirtySinceMs: null,
    ...o,
  };
}
const position = (driverId: string, seq = 1) =>
  validatePosition({ seq, recordedAtMs: 1000 + seq, lat: 1, lon: 1 }, driverId, 1);

/** A healer that knows a, b, c at revisions 1, 2, 3 under r1. */
function healer() {
  const losses: Loss[] = [];
  const fleet = new Fleet();
  const one = new Healer(fleet, (loss) => losses.push(loss));
  const remember = (id: string, seq: number, under: PartitionState) =>
    one.remember(fleet.of(id, 0), position(id, seq), under, 0);
  for (const [index, id] of ['a', 'b', 'c'].entries()) {
    const now = state({ revision: index + 1 });
    one.observe(now, one.standing(0), true);
    remember(id, 1, now);
  }
  const lost = () => one.lostOf(0, 10).map(({ position }) => position.driverId);
  return { healer: one, fleet, losses, lost, remember };
}

test('while the reign stands nothing is lost, whatever order answers come in', () => {
  const { healer: one, lost } = healer();
  const asked = one.standing(0);
  one.observe(state({ revision: 5 }), asked, false);
  one.observe(state({ revision: 4 }), asked, false);
  assert.deepEqual(lost(), []);
  assert.equal(one.standing(0)?.revision, 5);
});

test('a reign that follows the known one lacks what is above its base', () => {
  const { healer: one, lost, losses } = healer();
  one.observe(
    state({ reign: 'r2', previous: 'r1', base: 1, revision: 2, reignAtMs: 2 }),
    one.standing(0),
    true,
  );
  assert.deepEqual(lost(), ['b', 'c']);
  assert.equal(losses.length, 1);
  assert.equal(losses[0]?.above, 1);
});

test('a reign that follows one unseen, or an epoch that is new, lacks everything', () => {
  const unseen = healer();
  const next = state({ reign: 'r3', previous: 'r2', base: 9, revision: 9, reignAtMs: 3 });
  unseen.healer.observe(next, undefined, false);
  assert.deepEqual(unseen.lost(), ['a', 'b', 'c']);
  const emptied = healer();
  emptied.healer.observe(state({ epoch: 'e2', reign: 'r2', revision: 0, reignAtMs: 0 }), undefined, false);
  assert.deepEqual(emptied.lost(), ['a', 'b', 'c']);
});

test('a smaller revision under the same reign: the node lost its place and got it back', () => {
  const probed = healer();
  probed.healer.observe(state({ revision: 2 }), probed.healer.standing(0), false);
  assert.deepEqual(probed.lost(), ['c']);
  const written = healer();
  written.healer.observe(state({ revision: 2 }), written.healer.standing(0), true);
  assert.deepEqual(written.lost(), ['b', 'c']);
});

test('an answer of the old reign that comes late: what it acknowledged is lost as well', () => {
  const { healer: one, lost, remember } = healer();
  const asked = one.standing(0);
  one.observe(state({ reign: 'r2', previous: 'r1', base: 3, revision: 3, reignAtMs: 2 }), asked, false);
  assert.deepEqual(lost(), []);
  const late = state({ revision: 4 });
  one.observe(late, asked, true);
  assert.equal(one.standing(0)?.reign, 'r2');
  remember('d', 1, late);
  assert.deepEqual(lost(), ['d']);
});

test('healed ones stand under the new reign; what was reported meanwhile needs no healing', () => {
  const { healer: one, lost, remember } = healer();
  const next = state({ reign: 'r2', previous: 'r1', base: 0, revision: 0, reignAtMs: 2 });
  one.observe(next, one.standing(0), false);
  const sent = one.lostOf(0, 2);
  const answer = { ...next, revision: 1 };
  one.observe(answer, next, true);
  one.healed(sent, answer);
  assert.deepEqual(lost(), ['c']);
  remember('c', 2, answer);
  assert.deepEqual(lost(), []);
  // The next reign lacks revision 1: all three.
  one.observe(state({ reign: 'r3', previous: 'r2', base: 0, reignAtMs: 3 }), answer, false);
  assert.deepEqual(lost().sort(), ['a', 'b', 'c']);
});

test('who has been silent for a minute is let go once Postgres has the position', () => {
  const { healer: one, fleet } = healer();
  one.forgetOld(120_000);
  assert.equal(one.size, 3);
  one.observe(state({ revision: 3, flushed: 2 }), one.standing(0), false);
  one.forgetOld(30_000);
  assert.equal(one.size, 3);
  one.forgetOld(120_000);
  assert.equal(one.size, 1);
  assert.ok(fleet.known('c'));
  assert.equal(fleet.get('a'), undefined);
});

test('what was acknowledged after a healing was sent, and lost again, is not taken for healed', () => {
  const { healer: one, lost, remember } = healer();
  const second = state({ reign: 'r2', previous: 'r1', base: 0, revision: 0, reignAtMs: 2 });
  one.observe(second, one.standing(0), false);
  const sent = one.lostOf(0, 1);
  remember('a', 2, { ...second, revision: 1 });
  const third = state({ reign: 'r3', previous: 'r2', base: 0, revision: 0, reignAtMs: 3 });
  one.observe(third, second, false);
  one.healed(sent, { ...third, revision: 1 });
  assert.ok(lost().includes('a'));
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Admission, type AdmissionLimits, type Refusal } from './admission.js';
import { Problem } from './problem.js';

const LIMITS = { questionsPerS: 10, inFlight: 40, inFlightPerSubject: 20 };

function admission(limits: Partial<AdmissionLimits> = {}) {
  const clock = { ms: 0 };
  const refusals: Refusal[] = [];
  const all = { ...LIMITS, ...limits };
  return {
    clock,
    refusals,
    ...{
      it: new Admission(
        all,
        (why) => refusals.push(why),
        () => clock.ms,
      ),
    },
  };
}

function problemOf(work: () => unknown): [status: number, code: string, retryAfter: string | undefined] {
  try {
    work();
  } catch (error) {
    assert.ok(error instanceof Problem);
    return [error.status, error.code, error.headers['retry-after']];
  }
  return assert.fail('admitted');
}

const times = (count: number, work: () => unknown) => Array.from({ length: count }, work);

test('admission: a rate for each subject, with a burst of two seconds', () => {
  const { it, clock, refusals } = admission();
  times(20, () => it.knock('a'));
  assert.deepEqual(
    problemOf(() => it.knock('a')),
    [429, 'rate_limited', '1'],
  );
  it.knock('b');
  clock.ms = 99;
  problemOf(() => it.knock('a'));
  clock.ms = 100;
  it.knock('a');
  problemOf(() => it.knock('a'));
  clock.ms = 1e9;
  times(20, () => it.knock('a'));
  problemOf(() => it.knock('a'));
  assert.deepEqual(new Set(refusals), new Set(['rate']));
});

test('admission: a question is charged its weight, which may be owed', () => {
  const { it, clock } = admission();
  it.knock('a');
  it.enter('a', 11)(11);
  times(9, () => it.knock('a'));
  assert.deepEqual(problemOf(() => it.knock('a'))[2], '1');
  clock.ms = 2_000;
  it.knock('a');
  it.enter('a', 201)(201);
  // The bucket owes 181, and 10 come back each second.
  assert.deepEqual(
    problemOf(() => it.knock('a')),
    [429, 'rate_limited', '19'],
  );
  clock.ms = 2_000 + 18_100;
  problemOf(() => it.knock('a'));
  clock.ms = 2_000 + 18_200;
  it.knock('a');
});

test('admission: a share of what is in flight, and a limit for all', () => {
  const { it, refusals } = admission({ questionsPerS: 1_000 });
  const leave = it.enter('a', 15);
  assert.deepEqual(
    problemOf(() => it.enter('a', 6)),
    [429, 'too_many_at_once', '1'],
  );
  const others = [it.enter('b', 10), it.enter('c', 10), it.enter('a', 5)];
  assert.equal(it.inFlight, 40);
  assert.deepEqual(
    problemOf(() => it.enter('d', 1)),
    [503, 'overloaded', '1'],
  );
  leave(1);
  it.enter('d', 15)(15);
  for (const other of others) other(1);
  assert.equal(it.inFlight, 0);
  assert.deepEqual(refusals, ['subject_in_flight', 'in_flight']);
});

test('admission: what weighs more than the share is taken when nothing else of its subject is under way', () => {
  const { it } = admission({ questionsPerS: 1_000 });
  const leave = it.enter('a', 1);
  problemOf(() => it.enter('a', 500));
  leave(1);
  const leaveLarge = it.enter('a', 500);
  assert.equal(it.inFlight, 20);
  problemOf(() => it.enter('a', 1));
  leaveLarge(500);
  assert.equal(it.inFlight, 0);
});

test('admission: bodies that are arriving, of one and of all', () => {
  const { it, refusals } = admission();
  const leave = times(32, () => it.enterBody('a', 0)) as (() => void)[];
  assert.deepEqual(
    problemOf(() => it.enterBody('a', 0)),
    [429, 'too_many_at_once', '1'],
  );
  for (let subject = 0; subject < 7; subject++) times(32, () => it.enterBody(`b${subject}`, 0));
  assert.deepEqual(
    problemOf(() => it.enterBody('c', 0)),
    [503, 'overloaded', '1'],
  );
  leave[0]?.();
  it.enterBody('c', 0)();
  it.enterBody('a', 0);
  assert.deepEqual(refusals, ['subject_bodies', 'bodies']);
});

test('admission: what a question did not use of its weight is given back', () => {
  const { it } = admission();
  it.knock('a');
  it.enter('a', 11)(1);
  times(19, () => it.knock('a'));
  problemOf(() => it.knock('a'));
});

test('admission: a body is charged by its length, before it is read', () => {
  const { it } = admission();
  it.knock('a');
  it.enterBody('a', 10_240)();
  times(9, () => it.knock('a'));
  assert.equal(problemOf(() => it.knock('a'))[1], 'rate_limited');
});

test('admission: with a full share a request is refused before anything of it is read', () => {
  const { it, refusals } = admission({ questionsPerS: 1_000 });
  const leave = it.enter('a', 20);
  problemOf(() => it.knock('a'));
  it.knock('b');
  leave(1);
  it.knock('a');
  assert.deepEqual(refusals, ['subject_in_flight']);
});

test('admission: of very many subjects the one that asked least lately is forgotten, but nobody under way', () => {
  const { it } = admission();
  const leave = it.enter('under way', 20);
  times(20, () => it.knock('early'));
  for (let i = 0; i < 9_998; i++) it.knock(`s${i}`);
  problemOf(() => it.knock('early'));
  for (let i = 0; i < 10_100; i++) it.knock(`t${i}`);
  it.knock('early');
  problemOf(() => it.enter('under way', 1));
  leave(1);
  assert.equal(it.inFlight, 0);
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { breakBetween } from './breaks.js';

const known = { incarnation: 'i', owner: 'a', term: 10, revision: 7, previous: 5 };

test('breaks: where it can go on, and where it has to read anew', () => {
  const after = (changes: Partial<typeof known>) => breakBetween(known, { ...known, ...changes });
  assert.equal(after({}), null);
  assert.equal(after({ revision: 9 }), null);
  assert.equal(after({ revision: 6 }), 'went_back');
  assert.equal(after({ owner: 'b', term: 12, previous: 10, revision: 3 }), null);
  assert.equal(after({ owner: 'a', term: 12, previous: 10 }), null);
  assert.equal(after({ owner: 'b', term: 12, previous: 11 }), 'term');
  assert.equal(after({ owner: 'b', term: 10 }), 'owner');
  assert.equal(after({ owner: 'b', term: 9, previous: 5 }), 'owner');
  assert.equal(after({ incarnation: 'j', term: 12, previous: 10 }), 'incarnation');
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { chooseType } from './accept.js';

test('accept: the best of what is offered, by quality, then by our order', () => {
  const offered = ['application/json', 'application/geo+json'];
  const cases: [accept: string, type: string | null][] = [
    ['', 'application/json'],
    ['*/*', 'application/json'],
    ['APPLICATION/GEO+JSON', 'application/geo+json'],
    ['application/json;q=0.2, */*;q=0.3', 'application/geo+json'],
    ['*/*, application/json;q=0', 'application/geo+json'],
    ['application/*;q=0.1', 'application/json'],
    ['text/*', null],
    ['application/json;q=nonsense', null],
    [`${'text/html,'.repeat(50)}application/json`, null],
  ];
  for (const [accept, type] of cases) assert.equal(chooseType(accept, offered), type, accept);
});

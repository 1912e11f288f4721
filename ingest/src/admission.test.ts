import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TokenError } from '@whereabouts/infra/service/tokens';
import { isRefusal, problemJson, readUpgrade, refusalOf, type UpgradeRequest } from './admission.js';

const PLAIN: UpgradeRequest = { query: '', authorization: 'Bearer abc', subprotocols: '' };

function admitted(request: Partial<UpgradeRequest>) {
  const answer = readUpgrade({ ...PLAIN, ...request });
  assert.ok(!isRefusal(answer), JSON.stringify(answer));
  return answer;
}

function refused(request: Partial<UpgradeRequest>) {
  const answer = readUpgrade({ ...PLAIN, ...request });
  assert.ok(isRefusal(answer), JSON.stringify(answer));
  return answer;
}

test('the query names the acknowledgements and nothing else', () => {
  assert.equal(admitted({ query: '' }).ackMode, 'each');
  assert.equal(admitted({ query: 'ack=each' }).ackMode, 'each');
  assert.equal(admitted({ query: 'ack=sparse' }).ackMode, 'sparse');
  for (const query of [
    'ack=never',
    'ack=',
    'ack',
    'token=abc',
    'ack=each&x=1',
    'ack=each&ack=sparse',
    'ACK=each',
  ]) {
    assert.equal(refused({ query }).status, 400, query);
  }
});

test('the subprotocol: JSON where nothing is offered, else the first that we speak', () => {
  const cases: [string, string, boolean][] = [
    ['', '', false],
    ['whereabouts.v1.json', 'whereabouts.v1.json', false],
    ['whereabouts.v1.bin', 'whereabouts.v1.bin', true],
    ['other, whereabouts.v1.bin,whereabouts.v1.json', 'whereabouts.v1.bin', true],
    ['bearer.x.y.z, whereabouts.v1.json', 'whereabouts.v1.json', false],
    ['bearer.x.y.z', '', false],
  ];
  for (const [subprotocols, subprotocol, binary] of cases) {
    const answer = admitted({ subprotocols });
    assert.deepEqual([answer.subprotocol, answer.binary], [subprotocol, binary], subprotocols);
  }
  assert.equal(refused({ subprotocols: 'chat' }).status, 400);
});

test('the token: the header first, then the subprotocol, never the query', () => {
  assert.equal(admitted({}).token, 'abc');
  assert.equal(admitted({ authorization: 'bearer  abc ' }).token, 'abc');
  assert.equal(admitted({ authorization: 'Basic abc' }).token, '');
  assert.equal(
    admitted({ authorization: '', subprotocols: 'whereabouts.v1.json, bearer.x.y.z' }).token,
    'x.y.z',
  );
  assert.equal(admitted({ subprotocols: 'bearer.x.y.z' }).token, 'abc');
});

test('what is wrong with a token has a status', () => {
  const statusOf = (code: TokenError['code']) => refusalOf(new TokenError(code, 'why')).status;
  assert.equal(statusOf('token_missing'), 401);
  assert.equal(statusOf('token_invalid'), 401);
  assert.equal(statusOf('token_expired'), 401);
  assert.equal(statusOf('token_scope'), 403);
  assert.equal(statusOf('keys_unavailable'), 503);
  assert.equal(statusOf('key_unknown'), 503);
  assert.deepEqual(refusalOf(new TokenError('key_unknown', 'why')).headers, [['Retry-After', '2']]);
  const problem = JSON.parse(problemJson(refusalOf(new TokenError('token_expired', 'why'))));
  assert.deepEqual(problem, {
    type: 'about:blank',
    title: 'Unauthorized',
    status: 401,
    detail: 'why',
    code: 'token_expired',
  });
});

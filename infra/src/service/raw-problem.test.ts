import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { type TestContext, test } from 'node:test';
import { answerBadRequests } from './raw-problem.js';

interface Answer {
  status: number;
  headers: string;
  problem: Record<string, unknown>;
}

async function listening(t: TestContext): Promise<{ port: number; refused: number[] }> {
  const refused: number[] = [];
  const timeouts = { headersTimeout: 200, requestTimeout: 400, connectionsCheckingInterval: 50 };
  const server = createServer({ maxHeaderSize: 8_192, ...timeouts }, (request, response) => {
    if (request.url === '/early') response.end('early');
    else request.on('end', () => response.end('late')).resume();
  });
  answerBadRequests(server, (status) => refused.push(status));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    server.close();
    server.closeAllConnections();
  });
  return { port: (server.address() as AddressInfo).port, refused };
}

/** All that comes until the server closes. Fails where not all of the request could be sent. */
function said(port: number, request: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = '';
    const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true }, () => {
      socket.write(request, (error) => (error ? reject(error) : null));
    });
    socket.on('end', () => socket.end());
    socket.on('data', (data) => {
      text += data;
    });
    socket.on('error', reject);
    socket.on('close', () => resolve(text));
  });
}

function parsed(text: string): Answer {
  const [head = '', body = ''] = text.split('\r\n\r\n');
  const [first = '', ...headers] = head.split('\r\n');
  return {
    status: Number(first.split(' ')[1]),
    headers: headers.join('\n').toLowerCase(),
    problem: JSON.parse(body) as Record<string, unknown>,
  };
}

test('raw problems: what the parser refuses is a problem with a code', async (t) => {
  const { port, refused } = await listening(t);
  const cases: [request: string, status: number, code: string][] = [
    ['nonsense\r\n\r\n', 400, 'bad_request'],
    ['GET / HTTP/1.1\r\nHost a\r\n\r\n', 400, 'bad_request'],
    ['GET / HTTP/3.1\r\nHost: a\r\n\r\n', 505, 'version_not_supported'],
    [`GET /${'x'.repeat(9_000)} HTTP/1.1\r\nHost: a\r\n\r\n`, 431, 'headers_too_large'],
    // More than the kernel keeps for us: an answer to a caller who still sends must not be lost in a reset.
    [`GET / HTTP/1.1\r\nHost: a\r\nX: ${'x'.repeat(20_000_000)}\r\n\r\n`, 431, 'headers_too_large'],
    ['GET / HTTP/1.1\r\nHost: a\r\n', 408, 'request_timeout'],
    ['', 408, 'request_timeout'],
    ['POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab', 408, 'request_timeout'],
    ['POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n', 400, 'bad_request'],
    ['CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n', 405, 'method_not_allowed'],
  ];
  for (const [request, status, code] of cases) {
    const { headers, problem, ...rest } = parsed(await said(port, request));
    assert.deepEqual(
      [rest.status, problem.status, problem.code],
      [status, status, code],
      request.slice(0, 60),
    );
    assert.match(headers, /content-type: application\/problem\+json/);
    assert.match(headers, new RegExp(`x-request-id: ${problem.request_id}`));
    assert.match(headers, /connection: close/);
  }
  assert.deepEqual(
    refused,
    cases.map(([, status]) => status),
  );
});

test('raw problems: never in the place of another answer', async (t) => {
  const { port } = await listening(t);
  // Answered before its body came, which then never comes.
  const early = await said(port, 'POST /early HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n');
  assert.match(early, /^HTTP\/1\.1 200 [\s\S]*early$/);
});

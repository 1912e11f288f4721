// Compares the tokens that the command prints with what the services verify.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { createTokenVerifier } from '@whereabouts/infra/service/tokens';
import { root } from './home.js';
import { type Stack, writeStack } from './stack-file.js';

const SECRET = 's'.repeat(48);
const AUTH = { issuer: 'whereabouts', audience: { ingest: 'for-ingest', query: 'for-query' } };
const home = mkdtempSync(join(tmpdir(), 'whereabouts-token-'));

before(() => {
  const secretFile = join(home, 'jwt-secret');
  writeFileSync(secretFile, `${SECRET}\n`);
  // As far as tokens need it; this process plays the part of `npm start`.
  writeStack({ pid: process.pid, redis: [], auth: { ...AUTH, secretFile } } as unknown as Stack, home);
});
after(() => rmSync(home, { recursive: true, force: true }));

function token(...args: string[]): { status: number | null; lines: string[]; stderr: string } {
  const script = join(root, 'scripts', 'dist', 'token.js');
  const { status, stdout, stderr } = spawnSync(process.execPath, [script, ...args], {
    encoding: 'utf8',
    env: { ...process.env, WHEREABOUTS_HOME: home },
    input: 'from-stdin\n\n',
  });
  return { status, lines: stdout.split('\n').filter((line) => line !== ''), stderr };
}

async function subjects(lines: readonly string[], scope: string, audience: string): Promise<string[]> {
  const verify = await createTokenVerifier({ secret: SECRET, issuer: AUTH.issuer, audience });
  try {
    return await Promise.all(lines.map(async (line) => (await verify(line, scope)).subject));
  } finally {
    verify.close();
  }
}

test('one for a driver, one for a reader', async () => {
  const driver = token('--driver', 'anna');
  assert.deepEqual(await subjects(driver.lines, 'location:write', AUTH.audience.ingest), ['anna']);
  const reader = token('--scope', 'drivers:read');
  assert.deepEqual(await subjects(reader.lines, 'drivers:read', AUTH.audience.query), ['reader']);
});

test('many at once, one a line, in the order of the ids', async () => {
  const { lines } = token('--drivers', '500', '--id-prefix', 'load-');
  const ids = Array.from({ length: 500 }, (_, i) => `load-${i}`);
  assert.deepEqual(await subjects(lines, 'location:write', AUTH.audience.ingest), ids);
});

test('for ids in a file or from stdin, and as JSON', async () => {
  const file = join(home, 'ids.txt');
  writeFileSync(file, 'zoe\r\n\nadam\n');
  const { lines } = token('--ids', file, '--json', '--ttl-s', '60');
  const told = lines.map((line) => JSON.parse(line) as { token: string; subject: string; ttl_s: number });
  assert.deepEqual(
    told.map(({ subject, ttl_s }) => [subject, ttl_s]),
    [
      ['zoe', 60],
      ['adam', 60],
    ],
  );
  const tokens = told.map((line) => line.token);
  assert.deepEqual(await subjects(tokens, 'location:write', AUTH.audience.ingest), ['zoe', 'adam']);
  const stdin = token('--ids', '-').lines;
  assert.deepEqual(await subjects(stdin, 'location:write', AUTH.audience.ingest), ['from-stdin']);
});

test('what cannot be a driver is named, and nothing is printed', () => {
  const file = join(home, 'bad.txt');
  writeFileSync(file, 'zoe\na b\n');
  for (const [args, message] of [
    [['--ids', file], /^--ids: line 2 must be 1 to 64 of A-Za-z0-9_-, got a b$/m],
    [['--ids', `${file}.none`], /^--ids: .* cannot be read/],
    [['--driver', 'a/b'], /got a\/b/],
    [['--driver', 'a', '--drivers', '2'], /^Give one of/],
    [[], /^Give --driver ID/],
  ] as const) {
    const { status, lines, stderr } = token(...args);
    assert.deepEqual([status, lines], [2, []]);
    assert.match(stderr, message);
  }
});

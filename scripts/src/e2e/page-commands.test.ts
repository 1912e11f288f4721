// Runs the commands of all pages as a reader types them, beside the stack that README.md's first command starts.
import assert from 'node:assert/strict';
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import SwaggerParser from '@apidevtools/swagger-parser';
import { waitFor } from '@whereabouts/infra/local/server-process';
import { root } from '../home.js';
import { findStack } from '../stack-file.js';
import { type Block, commandsOf, pages } from '../testing/pages.js';

const run = promisify(execFile);
const START_DEADLINE_MS = 180_000;
const STOP_DEADLINE_MS = 90_000;
const PAGE_DEADLINE_MS = 300_000;

const blocks = pages().flatMap(commandsOf);
const isRun = ({ notRun, startsStack }: Block) => notRun === undefined && !startsStack;
const shown: string[] = [...new Set(blocks.filter(isRun).map(({ page }) => page))];

/** Looks like the clone, with a `.whereabouts` of its own. */
const dir = mkdtempSync(join(tmpdir(), 'whereabouts-pages-'));
const home = join(dir, '.whereabouts');
const env = { ...process.env, WHEREABOUTS_HOME: home };
let stack: ChildProcess;
let said = '';

const hasEnded = () => stack === undefined || stack.exitCode !== null || stack.signalCode !== null;
/** The group, as Ctrl-C in a terminal does. */
const interrupt = () => hasEnded() || process.kill(-(stack.pid as number), 'SIGINT');

before(async () => {
  for (const name of readdirSync(root))
    if (name !== '.git' && name !== '.whereabouts') symlinkSync(join(root, name), join(dir, name));
  const [first, ...others] = blocks.filter(({ startsStack }) => startsStack);
  assert.deepEqual([first?.page, first?.code, others], ['README.md', 'npm start', []]);
  stack = spawn('sh', ['-c', first?.code as string], { cwd: dir, env, detached: true });
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => process.exit(1));
  process.once('exit', interrupt);
  for (const stream of [stack.stdout, stack.stderr])
    stream?.setEncoding('utf8').on('data', (text: string) => {
      said += text;
    });
  await waitFor('the stack is ready', START_DEADLINE_MS, () =>
    hasEnded() || findStack(home)?.ready ? true : undefined,
  );
  assert.ok(!hasEnded(), said);
  await waitFor('drivers are on the road', START_DEADLINE_MS, async () => {
    const { stdout } = await run('npm', ['run', '-s', 'inspect', '--', 'sim-1-0', '--json'], {
      cwd: dir,
      env,
    });
    return JSON.parse(stdout).archive.row !== null || undefined;
  });
});

after(async () => {
  interrupt();
  await waitFor('the stack has stopped', STOP_DEADLINE_MS, () => hasEnded() || undefined);
  await run('npm', ['run', '-s', 'clean'], { cwd: root, env });
  rmSync(dir, { recursive: true, force: true });
});

/** One shell for the page. curl fails here if the server refuses. */
function scriptOf(page: string): string {
  const commands = blocks.filter((block) => block.page === page && isRun(block));
  const lines = commands.flatMap(({ line, code }) => [`echo "@ ${page}:${line}"`, code]);
  return ['curl() { command curl --fail-with-body "$@"; }', ...lines].join('\n');
}

for (const page of shown) {
  test(`the commands of ${page} work`, async () => {
    try {
      await run('sh', ['-e', '-c', scriptOf(page)], {
        ...{ cwd: dir, env, timeout: PAGE_DEADLINE_MS, maxBuffer: 64 * 2 ** 20 },
      });
    } catch (error) {
      const { stdout, stderr, code } = error as { stdout: string; stderr: string; code: number };
      const from = stdout.lastIndexOf('@ ');
      assert.fail(`exit status ${code}\n${stdout.slice(from, from + 3000)}\n${stderr.slice(-3000)}`);
    }
  });
}

test('/openapi.json is read by a parser of OpenAPI', async () => {
  const answer = await fetch(`${findStack(home)?.query.url}/openapi.json`);
  const api = await SwaggerParser.validate((await answer.json()) as object as never);
  assert.ok(Object.keys(api.paths ?? {}).length > 0);
});

test('what is not run says why', (t) => {
  for (const { page, line, notRun, code } of blocks)
    if (notRun !== undefined) t.diagnostic(`${page}:${line}: ${notRun}: ${code.split('\n')[0]}`);
});

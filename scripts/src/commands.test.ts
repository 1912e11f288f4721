// The help of every command, and its answer to a wrong word. Each runs as a separate process.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { root } from './home.js';

const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
  scripts: Record<string, string>;
};
const RUN = /scripts\/run\.mjs (\S+)$/;
const NAMES = ['start', ...Object.values(scripts).flatMap((line) => RUN.exec(line)?.[1] ?? [])];
/** Set in every process that npm starts. For an option of that name it would always look as if npm had swallowed it. */
const SET_BY_NPM =
  'cache globalconfig global_prefix init_module local_prefix node_gyp noproxy npm_version prefix userconfig user_agent';

const home = mkdtempSync(join(tmpdir(), 'whereabouts-commands-'));
after(() => rmSync(home, { recursive: true, force: true }));

interface Outcome {
  status: number | null;
  stdout: string;
  stderr: string;
}

function typed(script: string, args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<Outcome> {
  const npm = Object.fromEntries(SET_BY_NPM.split(' ').map((name) => [`npm_config_${name}`, 'x']));
  const child = spawn(process.execPath, [script, ...args], {
    env: { ...process.env, ...npm, WHEREABOUTS_HOME: home, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const said = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].setEncoding('utf8').on('data', (text) => {
      said[name] += text;
    });
  }
  return new Promise((resolve) => child.once('close', (status) => resolve({ status, ...said })));
}

const COMMANDS = [
  ...NAMES.map((name) => [name, join(root, 'scripts', 'dist', `${name}.js`)] as const),
  ['bench', join(root, 'bench', 'dist', 'main.js')] as const,
];

test('there are commands', () => assert.ok(COMMANDS.length > 10, String(NAMES)));

for (const [name, script] of COMMANDS) {
  test(`${name}: its help has examples, fits 80 columns and is plain where nobody looks`, async () => {
    const { status, stdout, stderr } = await typed(script, ['--help']);
    assert.equal(status, 0, stderr);
    assert.match(stdout, new RegExp(`^Usage: npm (run )?${name} -- `));
    assert.match(stdout, /\nExamples:\n {2}npm /);
    assert.match(stdout, /--json /);
    assert.equal(stdout.includes('\u001b'), false, 'a colour in a pipe');
    const wide = stdout.split('\n').filter((line) => line.length > 80);
    assert.deepEqual(wide, []);
  });

  test(`${name}: an option that there is not ends with status 2, without a stack`, async () => {
    const { status, stdout, stderr } = await typed(script, ['--jsno']);
    assert.equal(status, 2);
    assert.equal(stdout, '');
    assert.match(stderr, /^Unknown option '--jsno'\n\(Did you mean --json\?\)\nSee: npm .* --help\n$/);
  });
}

test('colours: FORCE_COLOR asks for them, NO_COLOR forbids them', async () => {
  const script = join(root, 'scripts', 'dist', 'node.js');
  const coloured = await typed(script, ['--help'], { FORCE_COLOR: '1' });
  assert.ok(coloured.stdout.includes('\u001b[1mExamples:'));
  const plain = await typed(script, ['--help'], { FORCE_COLOR: '1', NO_COLOR: '1' });
  assert.equal(plain.stdout.includes('\u001b'), false);
});

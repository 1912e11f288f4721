// An interrupted install must not pass for a complete one, and the next install is complete whatever the environment
// says. With the real npm, on a project whose only dependency is in its own folder, so no network is needed.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { root } from './home.js';

const BOOTSTRAP = JSON.stringify(join(root, 'scripts', 'bootstrap.mjs'));

let dir: string;
const packed = (name = 'tool') => join(dir, 'node_modules', name, 'package.json');
const hiddenLock = () => join(dir, 'node_modules', '.package-lock.json');

function npm(args: string[], env: NodeJS.ProcessEnv = {}): void {
  const { status, stderr } = spawnSync('npm', [...args, '--offline', '--no-audit'], {
    cwd: dir,
    encoding: 'utf8',
    env: { ...process.env, ...env },
  });
  assert.equal(status, 0, stderr);
}

/** Each line that the code prints with console.log, parsed. */
function ask(code: string, env: NodeJS.ProcessEnv = {}): unknown[] {
  const source = `import { install, isInstalled } from ${BOOTSTRAP};
    const dir = ${JSON.stringify(dir)};
    ${code}`;
  const { status, stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', source], {
    encoding: 'utf8',
    env: { ...process.env, ...env },
  });
  assert.equal(status, 0, stderr);
  return stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
}

const INSTALL =
  'console.log(isInstalled(dir)); console.log(await install(dir)); console.log(isInstalled(dir));';

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'whereabouts-install-'));
  const tool = join(dir, 'vendor', 'tool');
  mkdirSync(tool, { recursive: true });
  writeFileSync(join(tool, 'package.json'), JSON.stringify({ name: 'tool', version: '1.0.0' }));
  const native = join(dir, 'vendor', 'native');
  mkdirSync(native, { recursive: true });
  const here = { os: [process.platform], cpu: [process.arch] };
  writeFileSync(join(native, 'package.json'), JSON.stringify({ name: 'native', version: '1.0.0', ...here }));
  const project = {
    name: 'project',
    version: '1.0.0',
    devDependencies: { tool: 'file:vendor/tool' },
    optionalDependencies: { native: 'file:vendor/native' },
  };
  writeFileSync(join(dir, 'package.json'), JSON.stringify(project));
  npm(['install', '--install-links']);
  writeFileSync(join(dir, '.npmrc'), 'install-links=true\n');
});

afterEach(() => rmSync(dir, { recursive: true, force: true }));

test("an install by the person's own npm ci counts", () => {
  npm(['ci']);
  assert.deepEqual(ask('console.log(isInstalled(dir)); console.log(await install(dir));'), [true, false]);
});

for (const [name, env, line, left] of [
  ['NODE_ENV=production', { NODE_ENV: 'production' }, '', 'tool'],
  ['npm_config_omit=dev', { npm_config_omit: 'dev' }, '', 'tool'],
  ['omit=dev in .npmrc', {}, 'omit=dev\n', 'tool'],
  ['npm_config_omit=optional', { npm_config_omit: 'optional' }, '', 'native'],
] as const) {
  test(`${name}: what it leaves out is missed, and installed all the same`, () => {
    writeFileSync(join(dir, '.npmrc'), `install-links=true\n${line}`);
    npm(['ci'], env);
    assert.equal(existsSync(packed(left)), false, 'npm left it out');
    assert.deepEqual(ask(INSTALL, env), [false, true, true]);
    assert.ok(existsSync(packed(left)));
    assert.deepEqual(ask('console.log(await install(dir));', env), [false]);
  });
}

test('an install that was cut short, or that a power cut left without content, is done again', () => {
  npm(['ci']);
  const damages: (() => void)[] = [
    () => rmSync(hiddenLock()),
    () => writeFileSync(hiddenLock(), ''),
    () => writeFileSync(packed(), ''),
    () => rmSync(join(dir, 'node_modules', 'tool'), { recursive: true }),
    () => npm(['prune', '--omit=dev']),
    () => npm(['prune', '--omit=optional']),
  ];
  for (const damage of damages) {
    damage();
    assert.deepEqual(ask(INSTALL), [false, true, true], String(damage));
    assert.match(readFileSync(packed(), 'utf8'), /1\.0\.0/);
  }
});

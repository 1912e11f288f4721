// What stands between a fresh clone and a compiled script: install, build, run. It needs nothing but Node, and
// says what it does on stderr, so that `$(npm run -s token)` holds the token alone.
//
// package.json says `exec node ...`: a shell that stayed between npm and us would keep npm's SIGINT to itself.
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, openSync, readFileSync, statSync } from 'node:fs';
import { constants } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = dirname(dirname(fileURLToPath(import.meta.url)));
const logs = join(root, '.whereabouts', 'logs');
const PARENT_LOOK_MS = 500;

export const say = (text) => process.stderr.write(`${text}\n`);

function fail(what, output) {
  say(`${output.trimEnd()}\n\n${what} failed.`);
  process.exit(1);
}

function requireNode() {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  // uWebSockets.js has no binary for newer ones.
  if ((major === 20 && minor >= 19) || major === 21 || major === 22) return;
  fail('The start', `Node 20 (20.19 or newer) or 22 is needed; this is ${process.version}.`);
}

/** npm writes node_modules/.package-lock.json at the end of every install. */
function isInstalled() {
  const installed = join(root, 'node_modules', '.package-lock.json');
  if (!existsSync(installed)) return false;
  return statSync(installed).mtimeMs >= statSync(join(root, 'package-lock.json')).mtimeMs;
}

function install() {
  if (isInstalled()) return;
  say('Installing dependencies (npm ci) ...');
  mkdirSync(logs, { recursive: true });
  const file = join(logs, 'npm-ci.log');
  const log = openSync(file, 'w');
  const { status } = spawnSync('npm', ['ci'], { cwd: root, stdio: ['ignore', log, log] });
  if (status !== 0) fail('npm ci', readFileSync(file, 'utf8'));
}

/** TypeScript builds only what changed; a compiled tree costs a fraction of a second. */
export function compile() {
  const compiler = join(root, 'node_modules', 'typescript', 'bin', 'tsc');
  return spawnSync(process.execPath, [compiler, '-b'], { cwd: root, encoding: 'utf8' });
}

function build() {
  if (!existsSync(join(root, 'scripts', 'dist', '.tsbuildinfo'))) say('Building (tsc -b) ...');
  const { status, stdout, stderr } = compile();
  if (status !== 0) fail('tsc -b', `${stdout}${stderr}`);
}

export function prepare({ compiled = true } = {}) {
  requireNode();
  install();
  if (compiled) build();
}

/** npm kills only its own child, which may be a shell: when our parent is gone, it is our turn to stop. */
function watchParent(stop) {
  if (process.env.npm_lifecycle_event === undefined) return;
  const parent = process.ppid;
  setInterval(() => process.ppid !== parent && stop(), PARENT_LOOK_MS).unref();
}

/**
 * Runs Node with our terminal and ends with its status. The child hears of our end on its IPC channel, and of
 * every signal that reaches us; Ctrl-C reaches it twice (the terminal's and ours), which it takes as one.
 */
export function run(args, env = {}) {
  const child = spawn(process.execPath, args, {
    cwd: root,
    stdio: ['inherit', 'inherit', 'inherit', 'ipc'],
    env: { ...process.env, ...env },
  });
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal));
  let told = false;
  watchParent(() => {
    if (!told) child.kill('SIGTERM');
    told = true;
  });
  child.on('error', (error) => fail('The script', String(error)));
  child.on('exit', (code, signal) => process.exit(code ?? 128 + (constants.signals[signal] ?? 0)));
}

export function runScript(name, args) {
  run([join(root, 'scripts', 'dist', `${name}.js`), ...args]);
}

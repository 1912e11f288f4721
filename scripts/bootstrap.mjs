// What stands between a fresh clone and a compiled script: install, build, run. It needs nothing but Node, and
// says what it does on stderr, so that `$(npm run -s token)` holds the token alone.
//
// package.json says `exec node ...`: a shell that stayed between npm and us would keep npm's SIGINT to itself.
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, openSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { constants } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

export const root = dirname(dirname(fileURLToPath(import.meta.url)));
const PARENT_LOOK_MS = 500;
const TELL_MS = 1_000;

export const say = (text) => process.stderr.write(`${text}\n`);

function fail(what, output) {
  say(`${output.trimEnd()}\n\n${what} failed.`);
  process.exit(1);
}

/**
 * Runs a command that may take long. Who waits at a terminal sees for how long; elsewhere it is one line, and none
 * where it took but a moment.
 */
async function step(text, command, args, options) {
  const started = performance.now();
  const isLive = process.stderr.isTTY === true;
  let isTold = false;
  const tell = () => {
    const seconds = Math.round((performance.now() - started) / 1000);
    if (isLive) process.stderr.write(`\r${text} ... ${seconds} s`);
    else if (!isTold) say(`${text} ...`);
    isTold = true;
  };
  const telling = setInterval(tell, TELL_MS);
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], ...options });
  const output = [];
  for (const stream of [child.stdout, child.stderr]) stream?.on('data', (chunk) => output.push(chunk));
  const status = await new Promise((resolve) => {
    child.on('error', (error) => fail(command, String(error)));
    child.on('close', resolve);
  });
  clearInterval(telling);
  if (isLive && isTold) {
    tell();
    process.stderr.write('\n');
  }
  return { status, output: Buffer.concat(output).toString() };
}

function requireNode() {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  // uWebSockets.js has no binary for newer ones.
  if ((major === 20 && minor >= 19) || major === 21 || major === 22) return;
  fail('The start', `Node 20 (20.19 or newer) or 22 is needed; this is ${process.version}.`);
}

const lockHash = (dir) =>
  createHash('sha256')
    .update(readFileSync(join(dir, 'package-lock.json')))
    .digest('hex');

/** Written after an install of ours: which lock file it followed, and the optional packages that npm could not get. */
const markerFile = (dir) => join(dir, 'node_modules', '.whereabouts-installed.json');

function readJson(file) {
  try {
    return JSON.parse(readFileSync(file, 'utf8'));
  } catch {
    return {}; // absent, or damaged
  }
}

function couldNotGet(dir) {
  const { lock, without } = readJson(markerFile(dir));
  return new Set(lock === lockHash(dir) ? without : []);
}

/** An optional package for another system is left out by every install. */
function isForHere({ optional, os, cpu, libc }) {
  if (!optional) return true;
  if (os === undefined && cpu === undefined) return false;
  const fits = (list, here) => list === undefined || list.includes(here);
  return fits(os, process.platform) && fits(cpu, process.arch) && fits(libc, 'glibc');
}

/**
 * What package-lock.json names and is not there. NODE_ENV=production, `omit=dev`, a kill or a full disk leave packages
 * out. npm writes down what it has installed in node_modules/.package-lock.json, last of all.
 */
function missingPackages(dir) {
  const { packages: there = {} } = readJson(join(dir, 'node_modules', '.package-lock.json'));
  const { packages = {} } = readJson(join(dir, 'package-lock.json'));
  const isMissing = ([path, wanted]) => {
    if (!path.includes('node_modules/') || !isForHere(wanted)) return false;
    const size = statSync(join(dir, path, 'package.json'), { throwIfNoEntry: false })?.size ?? 0;
    return there[path]?.version !== wanted.version || size === 0;
  };
  return Object.entries(packages).filter(isMissing);
}

export function isInstalled(dir = root) {
  const excused = couldNotGet(dir);
  return missingPackages(dir).every(([path]) => excused.has(path));
}

/** Returns whether something had to be installed. */
export async function install(dir = root) {
  if (isInstalled(dir)) return false;
  const logs = join(dir, '.whereabouts', 'logs');
  mkdirSync(logs, { recursive: true, mode: 0o700 });
  const file = join(logs, 'npm-ci.log');
  const log = openSync(file, 'w', 0o600);
  const { NODE_ENV: _, ...env } = process.env;
  // Said here, these win over whatever the environment or an .npmrc leaves out.
  const args = ['ci', '--include=dev', '--include=optional', '--include=peer'];
  const stdio = ['ignore', log, log];
  const { status } = await step('Installing dependencies (npm ci)', 'npm', args, { cwd: dir, stdio, env });
  const missing = missingPackages(dir);
  const isWhole = missing.every(([, { optional }]) => optional);
  if (status !== 0 || !isWhole) fail('npm ci', readFileSync(file, 'utf8'));
  // npm goes on without an optional package that it cannot get.
  const marker = { lock: lockHash(dir), without: missing.map(([path]) => path) };
  writeFileSync(markerFile(dir), JSON.stringify(marker));
  return true;
}

const workspaces = () => readJson(join(root, 'package.json')).workspaces ?? [];

/** After a power cut a file may be there without its content, and TypeScript does not look at what it wrote. */
function hasEmptyOutput() {
  const outputs = (dist) => (existsSync(dist) ? readdirSync(dist, { recursive: true }) : []);
  return workspaces().some((workspace) => {
    const dist = join(root, workspace, 'dist');
    return outputs(dist).some(
      (name) => /\.js$|tsbuildinfo$/.test(name) && statSync(join(dist, name)).size === 0,
    );
  });
}

const compilerArgs = (anew) => [
  join(root, 'node_modules', 'typescript', 'bin', 'tsc'),
  '-b',
  ...(anew ? ['--force'] : []),
];

/** TypeScript builds only what changed; a compiled tree costs a fraction of a second. */
export function compile() {
  return spawnSync(process.execPath, compilerArgs(hasEmptyOutput()), { cwd: root, encoding: 'utf8' });
}

/** What the map page needs besides its compiled modules; where nothing changed, a few files are copied. */
function buildPage() {
  const script = join(root, 'query-api', 'page', 'build.mjs');
  const { status, stdout, stderr } = spawnSync(process.execPath, [script], { cwd: root, encoding: 'utf8' });
  if (status !== 0) fail('The build of the map page', `${stdout}${stderr}`);
}

/** Written after a build that went well: what it was made from. */
const builtMark = join(root, 'node_modules', '.whereabouts-built');
/** What is made, not what it is made from. */
const NO_SOURCES = new Set(['dist', 'node_modules', 'results']);
const SETTINGS = ['tsconfig.json', 'tsconfig.base.json', 'package.json', 'package-lock.json'];

/** Of a file or a folder, whatever tells that it is another one than before. */
function fingerprint(path) {
  const stats = statSync(path, { throwIfNoEntry: false });
  if (stats === undefined) return [];
  if (!stats.isDirectory()) return [`${path} ${stats.size} ${stats.mtimeMs} ${stats.ctimeMs}`];
  return readdirSync(path)
    .filter((name) => !NO_SOURCES.has(name) && !name.startsWith('.'))
    .sort()
    .flatMap((name) => fingerprint(join(path, name)));
}

/** Without those that are inside another. */
const outermost = (folders) => folders.filter((one) => !folders.some((other) => one.startsWith(`${other}/`)));

/** Everything of ours that a build reads. */
function sourcesNow() {
  const all = [...SETTINGS, ...outermost(workspaces())].flatMap((path) => fingerprint(join(root, path)));
  return createHash('sha256').update(all.join('\n')).digest('hex');
}

/** A command that takes a moment shall not wait for a compiler that finds nothing to do. */
function isBuiltFrom(sources) {
  const outputs = workspaces().map((workspace) => join(root, workspace, 'dist', '.tsbuildinfo'));
  const isMarked = existsSync(builtMark) && readFileSync(builtMark, 'utf8') === sources;
  return isMarked && outputs.every(existsSync) && !hasEmptyOutput();
}

async function build(isNew) {
  const sources = sourcesNow(); // what is saved while the compiler runs may come too late for it
  if (!isNew && isBuiltFrom(sources)) return;
  const args = compilerArgs(isNew || hasEmptyOutput());
  const { status, output } = await step('Building (tsc -b)', process.execPath, args, { cwd: root });
  if (status !== 0) fail('tsc -b', output);
  buildPage();
  writeFileSync(builtMark, sources);
}

export async function prepare({ compiled = true } = {}) {
  requireNode();
  const isNew = await install();
  if (compiled) await build(isNew);
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

/** They take a moment, which a process of their own would double; nothing has to be stopped in good order. */
const IN_PLACE = new Set(['token', 'node', 'map', 'inspect', 'top']);

export async function runScript(name, args) {
  const file = join(root, 'scripts', 'dist', `${name}.js`);
  if (!IN_PLACE.has(name)) {
    run([file, ...args]);
    return;
  }
  process.chdir(root);
  process.argv = [process.execPath, file, ...args];
  watchParent(() => process.kill(process.pid, 'SIGTERM'));
  await import(pathToFileURL(file).href);
}

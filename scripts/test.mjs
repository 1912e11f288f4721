// `npm test [-- FILTER ...]`: finds or installs the servers, builds, and runs every test, or those whose path
// contains one of the filters.
import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join, relative } from 'node:path';
import { prepare, root, run, say } from './bootstrap.mjs';

const TEST_DEADLINE_MS = 900_000;

function workspaces() {
  return JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')).workspaces;
}

function compiledTests(workspace) {
  const dist = join(root, workspace, 'dist');
  if (!existsSync(dist)) return [];
  const { rootDir } = JSON.parse(
    readFileSync(join(root, workspace, 'tsconfig.json'), 'utf8'),
  ).compilerOptions;
  const files = readdirSync(dist, { recursive: true }).filter((file) => file.endsWith('.test.js'));
  return files.map((file) => ({
    compiled: join(dist, file),
    source: join(root, workspace, rootDir, file.replace(/\.js$/, '.ts')),
  }));
}

/** tsc never deletes: what stays of a removed test would run for ever. */
function removeStale({ compiled }) {
  const stem = compiled.slice(0, -'.js'.length);
  for (const ending of ['.js', '.js.map', '.d.ts', '.d.ts.map']) rmSync(`${stem}${ending}`, { force: true });
}

function tests(filters) {
  const all = workspaces().flatMap(compiledTests);
  for (const stale of all.filter((test) => !existsSync(test.source))) removeStale(stale);
  const files = all.filter((test) => existsSync(test.source)).map((test) => relative(root, test.compiled));
  const wanted = (file) => filters.length === 0 || filters.some((filter) => file.includes(filter));
  return files.filter(wanted).sort();
}

await prepare();
const filters = process.argv.slice(2).map((filter) => filter.replace(/\.ts$/, ''));
const files = tests(filters);
if (files.length === 0) {
  say(`No test's path contains ${filters.join(' or ')}.`);
  process.exit(1);
}
const { provideServers } = await import('./dist/servers/provide.js');
const servers = await provideServers(say);
const flags = [
  '--test',
  '--test-concurrency=2',
  '--test-reporter=spec',
  `--test-timeout=${TEST_DEADLINE_MS}`,
];
run([...flags, ...files], {
  WHEREABOUTS_REDIS_SERVER: servers.redisServer,
  WHEREABOUTS_POSTGRES_BIN: servers.postgresBinDir,
});

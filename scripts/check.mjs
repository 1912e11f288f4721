// `npm run check`: types, lint (import cycles among it) and formatting, dead code and undeclared dependencies, import
// direction.
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { compile, prepare, root, say } from './bootstrap.mjs';

const node = (...args) => spawnSync(process.execPath, args, { cwd: root, encoding: 'utf8' });
const tool = (...path) => join(root, 'node_modules', ...path);

const CHECKS = [
  ['types', compile],
  [
    'lint, import cycles and format',
    () => node(tool('@biomejs', 'biome', 'bin', 'biome'), 'ci', '--colors=off', '.'),
  ],
  ['dead code and dependencies', () => node(tool('knip', 'bin', 'knip.js'))],
  ['declared imports, and none from tests', () => node(join(root, 'scripts', 'dist', 'check-imports.js'))],
  ['import direction', () => node('--test', join(root, 'scripts', 'dist', 'import-direction.test.js'))],
];

await prepare({ compiled: false });
let failed = 0;
for (const [name, check] of CHECKS) {
  const { status, stdout, stderr } = check();
  if (status !== 0) {
    failed++;
    process.stdout.write(`${stdout}${stderr}`);
  }
  say(`${status === 0 ? 'ok    ' : 'FAILED'} ${name}`);
}
process.exit(failed === 0 ? 0 : 1);

// `npm run bench`: builds, then runs the benches.
import { join } from 'node:path';
import { prepare, root, run } from '../scripts/bootstrap.mjs';

await prepare();
run([join(root, 'bench', 'dist', 'main.js'), ...process.argv.slice(2)]);

// `npm run token | simulate | replay | inspect | node | map | restore | plan | clean`: builds, then runs src/NAME.ts.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { prepare, root, runScript, say } from './bootstrap.mjs';

const [name = '', ...args] = process.argv.slice(2);
if (!/^[a-z-]+$/.test(name) || !existsSync(join(root, 'scripts', 'src', `${name}.ts`))) {
  say(`No script is called "${name}".`);
  process.exit(2);
}
await prepare();
await runScript(name, args);

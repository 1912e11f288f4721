// `npm start`: all that is needed from a fresh clone on. The work is done by src/start.ts.
import { prepare, runScript } from './bootstrap.mjs';

await prepare();
await runScript('start', process.argv.slice(2));

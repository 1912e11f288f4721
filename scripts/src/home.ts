// Where this clone keeps its run-time files. WHEREABOUTS_HOME is for a second stack beside the first, as tests need it.
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Part of the command line of every clone's `npm start`. */
export const START_SCRIPT = join('scripts', 'dist', 'start.js');

export const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
export const home = resolve(process.env.WHEREABOUTS_HOME ?? join(root, '.whereabouts'));

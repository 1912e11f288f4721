// Where this clone keeps what it makes at run time.
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
export const home = join(root, '.whereabouts');
export const logsDir = join(home, 'logs');

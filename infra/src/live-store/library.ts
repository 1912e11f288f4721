// The Lua library. Its name and its functions' names carry a hash of the text, and it is loaded without REPLACE, so
// that two versions of a rolling deployment live side by side.

import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';

const SOURCE = new URL('../../redis/whereabouts.lua', import.meta.url);

export interface FunctionLibrary {
  text: string;
  version: string;
}

export function readLibrary(): FunctionLibrary {
  const template = readFileSync(SOURCE, 'utf8');
  const version = createHash('sha256').update(template).digest('hex').slice(0, 8);
  return { text: template.replaceAll('@VERSION@', version), version };
}

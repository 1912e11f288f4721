// The Lua library. Its name and its functions' names carry a hash of the text, and it is loaded without REPLACE, so
// that two versions of a rolling deployment live side by side.

import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { OLDEST_FORMAT, RECORD_FORMAT } from '../fields.js';
import { AT, FLAGS, HEAD_BYTES, TAIL_BYTES } from '../record.js';
import { KEEP_RESTORED_MS, MAX_CHECKPOINTS_PER_DRIVER, MAX_LEASE_MS } from './log-limits.js';

const SOURCE = new URL('../../../redis/log.lua', import.meta.url);
/** What the text shares with us. */
const SHARED: Record<string, number> = {
  MAX_CHECKPOINTS_PER_DRIVER,
  MAX_LEASE_MS,
  KEEP_RESTORED_MS,
  OLDEST_FORMAT,
  FORMAT: RECORD_FORMAT,
  HEAD_BYTES,
  TAIL_BYTES,
  FLAGS_AT: AT.statusAndFlags,
  ARCHIVED: FLAGS.archived,
};

export interface FunctionLibrary {
  text: string;
  version: string;
}

export function readLibrary(): FunctionLibrary {
  const source = readFileSync(SOURCE, 'utf8');
  const text = source.replaceAll(/@([A-Z_]+)@/g, (whole, name: string) =>
    name === 'VERSION' ? whole : String(SHARED[name]),
  );
  const version = createHash('sha256').update(text).digest('hex').slice(0, 8);
  return { text: text.replaceAll('@VERSION@', version), version };
}

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import { maxOpenFiles } from './open-files.js';

test('as many files as the system lets this process open', { skip: process.platform !== 'linux' }, () => {
  const module = new URL('./open-files.js', import.meta.url).href;
  const script = `import(${JSON.stringify(module)}).then((m) => console.log(m.maxOpenFiles()))`;
  const said = execFileSync('/bin/sh', ['-c', `ulimit -n 333 && exec "$0" -e '${script}'`, process.execPath]);
  assert.equal(String(said).trim(), '333');
  assert.notEqual(maxOpenFiles(), 333);
});

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { basename } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { chooseStackPorts } from './stack-ports.js';

const all = ({ redis, ...others }: Awaited<ReturnType<typeof chooseStackPorts>>['ports']) => [
  ...Object.values(others),
  ...redis,
  ...redis.map((port) => port + 10_000),
];

test('two stacks that choose at the same time, before either listens, share no port', async () => {
  // The runner gives its children an absolute path, or one from where it stands.
  const marker = basename(process.argv[1] ?? '');
  const mine = await chooseStackPorts(6, marker);
  try {
    assert.equal(new Set(all(mine.ports)).size, 19);
    const module = fileURLToPath(new URL('./stack-ports.js', import.meta.url));
    const source = `const { chooseStackPorts } = await import(${JSON.stringify(module)});
      console.log(JSON.stringify(await chooseStackPorts(6, ${JSON.stringify(marker)})));`;
    const { stdout } = spawnSync(process.execPath, ['--input-type=module', '-e', source], {
      encoding: 'utf8',
    });
    const other = JSON.parse(stdout) as typeof mine;
    assert.equal(new Set([...all(mine.ports), ...all(other.ports)]).size, 38);
    assert.ok(other.replaced.length > 0);
  } finally {
    mine.release();
  }
});

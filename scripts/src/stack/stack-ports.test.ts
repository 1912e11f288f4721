import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
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

test('a link in the place of the promises is not followed, and ports are found all the same', (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'whereabouts-promises-'));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  const target = join(dir, 'target');
  mkdirSync(target, { mode: 0o755 });
  for (const name of ['whereabouts-ports', `whereabouts-ports-${process.getuid?.() ?? 0}`]) {
    symlinkSync(target, join(dir, name));
  }
  const module = fileURLToPath(new URL('./stack-ports.js', import.meta.url));
  const source = `const { chooseStackPorts, PortPromises } = await import(${JSON.stringify(module)});
    const promises = new PortPromises('nobody');
    console.log(JSON.stringify({
      ...(await chooseStackPorts(6, 'nobody')),
      twice: [promises.take(1), promises.take(1)],
    }));`;
  const { stdout } = spawnSync(process.execPath, ['--input-type=module', '-e', source], {
    encoding: 'utf8',
    env: { ...process.env, TMPDIR: dir },
  });
  const { ports, twice } = JSON.parse(stdout);
  assert.equal(new Set(all(ports)).size, 19);
  assert.deepEqual(twice, [true, false], 'a port is promised once');
  assert.deepEqual(readdirSync(target), []);
  assert.equal(statSync(target).mode & 0o7777, 0o755);
});

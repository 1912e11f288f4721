import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { createInterface } from 'node:readline';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { START_SCRIPT } from '../home.js';
import { type chooseStackPorts, PortPromises } from './stack-ports.js';

const MODULE = fileURLToPath(new URL('./stack-ports.js', import.meta.url));

const all = ({ redis, ...others }: Awaited<ReturnType<typeof chooseStackPorts>>['ports']) => [
  ...Object.values(others),
  ...redis,
  ...redis.map((port) => port + 10_000),
];

function temporaryFolder(t: TestContext): string {
  const dir = mkdtempSync(join(tmpdir(), 'whereabouts-promises-'));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

/** Of another process that counts as an `npm start`, and holds its promises until the test ends. */
async function chosenByAnother(
  t: TestContext,
  env: NodeJS.ProcessEnv = {},
): Promise<Awaited<ReturnType<typeof chooseStackPorts>>> {
  const source = `const { chooseStackPorts } = await import(${JSON.stringify(MODULE)});
    console.log(JSON.stringify(await chooseStackPorts(6, ${JSON.stringify(START_SCRIPT)})));
    setInterval(() => {}, 1_000);`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', source, START_SCRIPT], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, ...env },
  });
  const exited = once(child, 'exit');
  t.after(async () => {
    child.kill();
    await exited;
  });
  const [line] = await once(createInterface(child.stdout), 'line');
  return JSON.parse(line);
}

// The promises of stacks that run count too.
test('two stacks that choose at the same time, before either listens, share no port', async (t) => {
  const mine = await chosenByAnother(t);
  assert.equal(new Set(all(mine.ports)).size, 19);
  const other = await chosenByAnother(t, { TMPDIR: temporaryFolder(t) });
  assert.equal(new Set([...all(mine.ports), ...all(other.ports)]).size, 38);
  assert.ok(other.replaced.length > 0);
});

test('a port is promised once, and one that is promised to another stack is not even tried', async (t) => {
  const dir = temporaryFolder(t);
  // The runner gives its children an absolute path, or one from where it stands.
  const marker = basename(process.argv[1] ?? '');
  const [mine, other] = [new PortPromises(marker, dir), new PortPromises(marker, dir)];
  const tried: string[] = [];
  const claim = (promises: PortPromises, ports: number[], isFree = true) =>
    promises.claim(ports, async () => {
      tried.push(ports.join());
      return isFree;
    });
  assert.equal(await claim(mine, [1, 2]), true);
  assert.equal(await claim(mine, [2]), false);
  assert.equal(await claim(other, [3, 2]), false);
  assert.equal(await claim(mine, [3, 4], false), false, 'somebody listens there');
  assert.equal(await claim(other, [3, 4]), true, 'all of them were given back');
  mine.release();
  assert.equal(await claim(other, [1, 2]), true);
  assert.deepEqual(tried, ['1,2', '3,4', '3,4', '1,2']);
});

test('a link in the place of the promises is not followed, and ports are found all the same', async (t) => {
  const dir = temporaryFolder(t);
  const target = join(dir, 'target');
  mkdirSync(target, { mode: 0o755 });
  for (const name of ['whereabouts-ports', `whereabouts-ports-${process.getuid?.() ?? 0}`]) {
    symlinkSync(target, join(dir, name));
  }
  const promises = new PortPromises('nobody', dir);
  const free = async () => true;
  assert.deepEqual([await promises.claim([1], free), await promises.claim([1], free)], [true, false]);
  assert.deepEqual(readdirSync(target), []);
  assert.equal(statSync(target).mode & 0o7777, 0o755);
});

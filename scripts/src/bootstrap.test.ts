// bootstrap.mjs sits between npm and the compiled script. However the stop arrives (a signal, or a death), the script
// must receive it exactly once, and its exit status must be passed on.
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { isAlive, waitFor } from '@whereabouts/infra/local/server-process';
import { root } from './home.js';

const DEADLINE_MS = 20_000;

let dir: string;
let launcher: string;

before(async () => {
  dir = await mkdtemp(join(tmpdir(), 'whereabouts-bootstrap-'));
  const module = join(root, 'scripts', 'dist', 'stop-signals.js');
  // Logs the signals it receives; "drains" for longer than a repeated signal takes to arrive, or until it is killed.
  const script = `import { appendFileSync } from 'node:fs';
    import { onStop } from ${JSON.stringify(module)};
    const heard = process.argv[2];
    onStop((reason, byForce) => {
      appendFileSync(heard, \`\${byForce ? 'force' : 'stop'} \${reason}\\n\`);
      const drainMs = process.argv[3] === 'drains' ? 3_600_000 : 1500;
      setTimeout(() => process.exit(byForce ? 1 : 0), byForce ? 0 : drainMs);
    });
    appendFileSync(heard, \`pid \${process.pid}\\n\`);
    if (Number(process.argv[3]) > 0) process.exit(Number(process.argv[3]));
    setInterval(() => {}, 1000);`;
  await writeFile(join(dir, 'script.mjs'), script);
  launcher = join(dir, 'launcher.mjs');
  await writeFile(
    launcher,
    `import { run } from ${JSON.stringify(join(root, 'scripts', 'bootstrap.mjs'))};
     run([${JSON.stringify(join(dir, 'script.mjs'))}, ...process.argv.slice(2)]);`,
  );
});

after(() => rm(dir, { recursive: true, force: true }));

interface Started {
  child: ChildProcess;
  scriptPid: number;
  heard(): Promise<string[]>;
  ended: Promise<number | null>;
}

async function start(
  name: string,
  wrap: (command: string[]) => string[] = (command) => command,
): Promise<Started> {
  const file = join(dir, name);
  const [command = '', ...args] = wrap([process.execPath, launcher, file]);
  const env = { ...process.env, npm_lifecycle_event: 'start' };
  const child = spawn(command, args, { stdio: 'ignore', detached: true, env });
  const ended = new Promise<number | null>((resolve) => child.once('exit', resolve));
  const heard = async () => (await readFile(file, 'utf8')).trim().split('\n');
  const scriptPid = await waitFor('the script runs', DEADLINE_MS, async () => {
    const pid = Number(/^pid (\d+)$/.exec((await heard())[0] ?? '')?.[1]);
    return pid > 0 ? pid : undefined;
  });
  return { child, scriptPid, heard, ended };
}

const gone = (pid: number) =>
  waitFor('the script has ended', DEADLINE_MS, () => (isAlive(pid) ? undefined : true));

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  test(`${signal} reaches the script, and its status comes out`, async () => {
    const { child, scriptPid, heard, ended } = await start(`signal-${signal}`);
    child.kill(signal);
    assert.equal(await ended, 0);
    assert.deepEqual((await heard()).slice(1), [`stop ${signal}`]);
    assert.equal(isAlive(scriptPid), false);
  });
}

test('Ctrl-C, which reaches the group and is forwarded too, counts once', async () => {
  const { child, heard, ended } = await start('group');
  process.kill(-(child.pid as number), 'SIGINT');
  child.kill('SIGINT');
  assert.equal(await ended, 0);
  assert.deepEqual((await heard()).slice(1), ['stop SIGINT']);
});

test('a second Ctrl-C later on is by force', async () => {
  const { child, heard, ended } = await start('twice', (command) => [...command, 'drains']);
  child.kill('SIGINT');
  await waitFor('the first is heard', DEADLINE_MS, async () =>
    (await heard()).length > 1 ? true : undefined,
  );
  // longer than the time in which repeated signals count as one
  await new Promise((resolve) => setTimeout(resolve, 1_100));
  child.kill('SIGINT');
  assert.equal(await ended, 1);
  assert.deepEqual((await heard()).slice(1), ['stop SIGINT', 'force SIGINT']);
});

test('a shell between npm and us that dies first does not leave the script behind', async () => {
  const { child, scriptPid, heard } = await start('shell', (command) => [
    '/bin/sh',
    '-c',
    `${command.map((word) => `'${word}'`).join(' ')}; true`,
  ]);
  child.kill('SIGKILL');
  await gone(scriptPid);
  assert.deepEqual((await heard()).slice(1), ['stop SIGTERM']);
});

test('when bootstrap itself is killed the script stops', async () => {
  const { child, scriptPid, heard } = await start('killed');
  child.kill('SIGKILL');
  await gone(scriptPid);
  assert.deepEqual((await heard()).slice(1), ['stop the parent is gone']);
});

test("the script's own status is ours", async () => {
  const { ended } = await start('status', (command) => [...command, '7']);
  assert.equal(await ended, 7);
});

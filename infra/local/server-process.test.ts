import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { isAlive, startServer, waitFor } from './server-process.js';

async function withLog(use: (logFile: string) => Promise<void>): Promise<void> {
  const dir = await mkdtemp(join(tmpdir(), 'whereabouts-process-'));
  try {
    await use(join(dir, 'log'));
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

test('a server that ignores its signal is killed at the deadline', () =>
  withLog(async (logFile) => {
    const args = ['-c', 'trap "" TERM; while :; do sleep 1; done'];
    const server = await startServer({ command: '/bin/sh', args, logFile, stopSignal: 'SIGTERM' });
    await server.stop(200);
    assert.equal(isAlive(server.pid), false);
  }));

test('a frozen server is stopped too', () =>
  withLog(async (logFile) => {
    const server = await startServer({ command: 'sleep', args: ['600'], logFile, stopSignal: 'SIGTERM' });
    server.kill('SIGSTOP');
    await server.stop(5_000);
    assert.equal(isAlive(server.pid), false);
  }));

test('a command that is not there is an error, not a crash', () =>
  withLog(async (logFile) => {
    const options = { command: '/nowhere/server', args: [], logFile, stopSignal: 'SIGTERM' as const };
    await assert.rejects(startServer(options), /could not be started/);
  }));

test('when the parent is killed, its server ends too', () =>
  withLog(async (logFile) => {
    const module = new URL('./server-process.js', import.meta.url).href;
    const source = `import { startServer } from ${JSON.stringify(module)};
      const server = await startServer({ command: 'sleep', args: ['600'], logFile: ${JSON.stringify(logFile)}, stopSignal: 'SIGTERM' });
      console.log(server.pid);
      setInterval(() => {}, 1000);`;
    const parent = spawn(process.execPath, ['--input-type=module', '-e', source], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const pid = await new Promise<number>((resolve) =>
      parent.stdout.once('data', (data: Buffer) => resolve(Number(data.toString()))),
    );
    assert.equal(isAlive(pid), true);
    parent.kill('SIGKILL');
    await waitFor('the orphan ends', 15_000, () => (isAlive(pid) ? undefined : true));
  }));

test('handed over, a server outlives its parent and ends with its heir', () =>
  withLog(async (logFile) => {
    const heir = spawn('sleep', ['600'], { stdio: 'ignore' });
    const module = new URL('./server-process.js', import.meta.url).href;
    const source = `import { startServer } from ${JSON.stringify(module)};
      const server = await startServer({ command: 'sleep', args: ['600'], logFile: ${JSON.stringify(logFile)}, stopSignal: 'SIGTERM' });
      server.handOver(${heir.pid});
      console.log(server.pid);`;
    const parent = spawn(process.execPath, ['--input-type=module', '-e', source], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const pid = await new Promise<number>((resolve) =>
      parent.stdout.once('data', (data: Buffer) => resolve(Number(data.toString()))),
    );
    await waitFor('the parent ends', 15_000, () => (parent.exitCode === 0 ? true : undefined));
    assert.equal(isAlive(pid), true);
    heir.kill('SIGKILL');
    await waitFor('the server ends', 15_000, () => (isAlive(pid) ? undefined : true));
  }));

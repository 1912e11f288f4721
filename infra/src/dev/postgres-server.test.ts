import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createConnection } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { isPortFree } from './ports.js';
import { type PostgresServer, removePostgresData, startPostgres } from './postgres-server.js';
import { isAlive } from './server-process.js';

let parent: string;
let dir: string;
let server: PostgresServer;

before(async () => {
  parent = await mkdtemp(join(tmpdir(), 'whereabouts-postgres-'));
  dir = join(parent, 'postgres');
  server = await startPostgres({ dir });
});

after(async () => {
  await server.stop();
  await removePostgresData(dir);
  await rm(parent, { recursive: true, force: true });
  assert.equal(existsSync(server.dataDir), false);
});

/** The first byte of the answer to an SSLRequest: `N`, from a server that takes connections without TLS. */
function firstByte(port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = createConnection({ port, host: '127.0.0.1' });
    socket.once('error', reject);
    socket.once('data', (data) => {
      socket.destroy();
      resolve(data.toString('latin1')[0] ?? '');
    });
    const request = Buffer.alloc(8);
    request.writeInt32BE(8, 0);
    request.writeInt32BE(80_877_103, 4);
    socket.write(request);
  });
}

test('it answers on its port, with a password in the address', async () => {
  assert.match(server.adminUrl, /^postgres:\/\/whereabouts_admin:[0-9a-f]{32}@127\.0\.0\.1:\d+\/postgres$/);
  assert.equal(await firstByte(server.port), 'N');
});

test('it does not run as root', { skip: process.platform !== 'linux' }, async () => {
  const status = await readFile(`/proc/${server.pid}/status`, 'utf8');
  assert.notEqual(/^Uid:\s+(\d+)/m.exec(status)?.[1], '0');
});

test('after a kill it starts again on the same data', async () => {
  const { pid } = server;
  server.kill('SIGKILL');
  await server.restart();
  assert.notEqual(server.pid, pid);
  assert.equal(await firstByte(server.port), 'N');
});

test('data and password survive a stop; a stopped server leaves no process and no port', async () => {
  const { pid, port, adminUrl } = server;
  await server.stop();
  assert.equal(isAlive(pid), false);
  assert.equal(await isPortFree(port), true);
  server = await startPostgres({ dir, port });
  assert.equal(server.adminUrl, adminUrl);
});

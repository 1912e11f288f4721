import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, lstatSync, readdirSync, statSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createConnection } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { isPortFree } from './ports.js';
import { type PostgresServer, removePostgresData, startPostgres } from './postgres-server.js';
import { isAlive } from './server-process.js';
import { asNobody, noOtherUser, readableByNobody } from './testing/other-user.js';

let parent: string;
let dir: string;
let server: PostgresServer;

before(async () => {
  parent = await mkdtemp(join(tmpdir(), 'whereabouts-postgres-'));
  await chmod(parent, 0o755); // so that the files have to keep others out by themselves
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

test('on a port that is taken it says so', async () => {
  const other = join(parent, 'other');
  await assert.rejects(
    startPostgres({ dir: other, port: server.port }),
    /ended at its start\. \S+postgres\.log ends with:\n[\s\S]*Address already in use/,
  );
  await removePostgresData(other);
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

test('no other user of the machine can read data, password or log', { skip: noOtherUser }, () => {
  assert.deepEqual([...readableByNobody(dir), ...readableByNobody(server.dataDir)], []);
  assert.equal(statSync(server.dataDir).mode & 0o777, 0o700);
});

test('a pid file that a power cut left empty does not keep it from starting', async () => {
  const { port } = server;
  await server.stop();
  await writeFile(join(server.dataDir, 'data', 'postmaster.pid'), '');
  server = await startPostgres({ dir, port });
  assert.equal(await firstByte(port), 'N');
});

/** In a folder where every user can create names. */
const SHARED = '/var/tmp';

test('what another user has prepared in /var/tmp is neither used nor removed', {
  skip: noOtherUser,
}, async (t) => {
  const own = join(parent, 'prepared');
  const target = join(parent, 'target');
  await mkdir(target);
  // A name that can be predicted from the folder's.
  const hash = createHash('sha256').update(own).digest('hex').slice(0, 12);
  const link = join(SHARED, `whereabouts-${hash}`);
  const folder = join(SHARED, `whereabouts-${hash.slice(0, 8)}`);
  assert.equal(asNobody('ln -s "$1" "$2" && mkdir -m 700 "$3"', target, link, folder).status, 0);
  t.after(async () => {
    for (const path of [link, folder]) await rm(path, { recursive: true, force: true });
  });

  const another = await startPostgres({ dir: own });
  await another.stop();
  assert.notEqual(another.dataDir, link);
  assert.deepEqual(readdirSync(target), []);

  const ours = await readFile(join(own, 'moved-to'), 'utf8');
  const lax = join(SHARED, `whereabouts-${hash.slice(0, 9)}`);
  await mkdir(lax, { mode: 0o755 });
  t.after(() => rm(lax, { recursive: true, force: true }));
  for (const place of [link, folder, lax, parent, '']) {
    await writeFile(join(own, 'moved-to'), place);
    await assert.rejects(startPostgres({ dir: own }), { code: 'unsafe_place' });
    const kept: string[] = [];
    await mkdir(own, { recursive: true });
    assert.deepEqual(await removePostgresData(own, (text) => kept.push(text)), [own]);
    assert.equal(kept.length, 1, place);
    await mkdir(own, { recursive: true });
  }
  assert.ok(lstatSync(link).isSymbolicLink() && existsSync(folder) && existsSync(lax) && existsSync(dir));

  await writeFile(join(own, 'moved-to'), ours);
  assert.deepEqual(await removePostgresData(own), [ours, own]);
  assert.equal(existsSync(ours), false);
});

test('data that an earlier version kept in the folder itself are taken along', {
  skip: noOtherUser,
}, async () => {
  const { port, adminUrl, dataDir } = server;
  await server.stop();
  await rm(dir, { recursive: true });
  execFileSync('mv', [dataDir, dir]);
  server = await startPostgres({ dir, port });
  assert.equal(server.adminUrl, adminUrl);
  assert.equal(await firstByte(port), 'N');
});

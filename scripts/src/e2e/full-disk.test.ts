// A full disk, and a service that dies at that moment: the stack survives, reports it, and recovers when there is
// space. Skipped, with the reason, if no small file system can be mounted.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { isAlive, waitFor } from '@whereabouts/infra/local/server-process';
import { buildPartitionMap } from '@whereabouts/infra/partition-map';
import { CITIES } from '../fleet/cities.js';
import { fleetSample } from '../fleet/simulated-driver.js';
import { OwnStack } from '../stack/own-stack.js';

const DEADLINE_MS = 60_000;
const given = process.env.TMPDIR;
const mount = mkdtempSync(join(tmpdir(), 'whereabouts-disk-'));

/** False: it is mounted. */
function whyNoSmallDisk(): string | false {
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=48m,mode=700', 'tmpfs', mount], { stdio: 'pipe' });
    return false;
  } catch (error) {
    return `no tmpfs can be mounted: ${(error as { stderr?: Buffer }).stderr?.toString().trim() || error}`;
  }
}

/** To the last byte. */
function fill(): void {
  const fd = openSync(join(mount, 'filler'), 'w');
  for (let size = 1 << 20; size >= 1; ) {
    try {
      writeSync(fd, Buffer.alloc(size));
    } catch {
      size >>= 1;
    }
  }
  closeSync(fd);
}

const skip = whyNoSmallDisk();

after(() => {
  if (given === undefined) delete process.env.TMPDIR;
  else process.env.TMPDIR = given;
  if (skip === false) execFileSync('umount', ['-l', mount]);
  rmSync(mount, { recursive: true, force: true });
});

const isOk = async (url: string) =>
  (await fetch(url, { signal: AbortSignal.timeout(2_000) })).ok || undefined;

test('services die on a full disk: each is started again, and the books are right once there is space', {
  skip,
}, async () => {
  process.env.TMPDIR = mount;
  const stack = await OwnStack.start(buildPartitionMap(fleetSample(CITIES, 1)));
  try {
    const before = stack.now;
    fill();
    for (const pid of [before.flusher.pid, before.query.pid, ...before.ingest.pids])
      process.kill(pid, 'SIGKILL');
    const services = [before.flusher.ops, before.query.ops, before.ingest.ops];
    // Redis refuses writes as long as it cannot append them to its file.
    for (const ops of services) await waitFor(`${ops} is up again`, DEADLINE_MS, () => isOk(`${ops}/livez`));
    assert.ok(isAlive(before.pid), 'the stack lives');
    const told = () => stack.said('trouble');
    await waitFor('it says what it cannot write', DEADLINE_MS, () =>
      told().some((text) => /stack\.json could not be written/.test(text)) ? true : undefined,
    );
    assert.equal(told().filter((text) => /stack\.json could not/.test(text)).length, 1, 'once');
    rmSync(join(mount, 'filler'));
    for (const ops of services) await waitFor(`${ops} is ready`, DEADLINE_MS, () => isOk(`${ops}/readyz`));
    await waitFor('stack.json has the new pids', DEADLINE_MS, () =>
      stack.now.flusher.pid !== before.flusher.pid && isAlive(stack.now.flusher.pid) ? true : undefined,
    );
  } finally {
    rmSync(join(mount, 'filler'), { force: true });
    await stack.stop();
  }
});

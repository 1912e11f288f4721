import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createLogger } from '@whereabouts/infra/service/log';
import { archiveError, archiveRefuses } from './archive-error.js';
import { ArchiveGate } from './archive-gate.js';
import { until } from './testing/flusher-process.js';

const away = archiveError(new Error('read-only'));
const refuses = archiveRefuses(51, 5_000, new Error('violates check constraint "odd"'));

/** A gate whose probe fails so many times, and what it logs. */
function newGate(failures: number) {
  const lines: { level: string; msg: string; why?: string; attempts?: number }[] = [];
  const log = createLogger('test', 'debug', { write: (line) => void lines.push(JSON.parse(line)) });
  let probes = 0;
  const probe = async () => {
    if (++probes <= failures) throw away;
  };
  const counts = { failed: 0, changed: 0 };
  const gate = new ArchiveGate({
    what: 'positions',
    probe,
    log,
    failed: () => counts.failed++,
    changed: () => counts.changed++,
  });
  const asked = () => until('it may be asked', () => gate.mayAsk());
  return { gate, lines, counts, asked, probes: () => probes };
}

test('the probe fails three times, then is answered; only rows that are taken open the gate', async () => {
  const { gate, lines, counts, asked, probes } = newGate(3);
  assert.deepEqual([gate.isUp, gate.mayAsk(), gate.detail], [true, true, 'up']);
  gate.failed(away);
  assert.equal(gate.mayAsk(), false, 'not before its wait is over');
  await asked();
  assert.deepEqual([probes(), counts.failed], [4, 4]);
  assert.equal(gate.isUp, false, 'an answer to the probe alone proves nothing');
  assert.match(gate.detail, /^away for \d+ s, 4 attempts: Postgres: read-only$/);
  gate.succeeded();
  assert.deepEqual([gate.isUp, gate.detail, gate.trouble], [true, 'up', null]);
  assert.deepEqual(
    lines.map(({ level, msg }) => [level, msg]),
    [
      ['error', 'Postgres is away: positions stay in the cache'],
      ['info', 'Postgres is back: catching up'],
    ],
  );
});

test('a probe that is always answered and rows that never are taken: the waits grow, and the log does not', async () => {
  const { gate, lines, asked, probes } = newGate(0);
  gate.failed(refuses);
  const since = performance.now();
  for (let round = 0; round < 4; round++) {
    await asked();
    gate.failed(refuses);
  }
  // The waits are at least half of 100, 200, 400 and 800 ms.
  assert.ok(performance.now() - since >= 750, `${performance.now() - since} ms`);
  assert.equal(probes(), 4);
  assert.equal(gate.trouble, 'archive_refuses');
  assert.match(gate.detail, /^refusing rows for .* refuses 51 of 5000 rows, the last because: violates/);
  assert.deepEqual(
    lines.map(({ msg }) => msg),
    ['Postgres refuses so many positions that its tables must be wrong: they stay in the cache'],
  );
});

test('it comes and goes: two lines in ten seconds, not two each time', async () => {
  const { gate, lines, counts, asked } = newGate(0);
  for (let i = 0; i < 6; i++) {
    gate.failed(away);
    gate.succeeded(); // of an attempt from before it went away
    assert.equal(gate.isUp, false);
    await asked();
    gate.succeeded();
    assert.equal(gate.isUp, true);
  }
  assert.equal(counts.changed, 12);
  assert.deepEqual(
    lines.map(({ level }) => level),
    ['error', 'info'],
  );
});

test('one probe at a time, also where it never is answered', async () => {
  let probes = 0;
  const gate = new ArchiveGate({
    what: 'positions',
    probe: () => new Promise(() => probes++),
    log: createLogger('test', 'silent'),
    failed: () => {},
    changed: () => {},
  });
  gate.failed(away);
  await until('the probe is on its way', () => {
    gate.mayAsk();
    return probes === 1;
  });
  for (let i = 0; i < 100; i++) assert.equal(gate.mayAsk(), false);
  assert.equal(probes, 1);
});

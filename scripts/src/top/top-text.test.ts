import assert from 'node:assert/strict';
import { test } from 'node:test';
import { widthOf } from '../terminal.js';
import type { NodeFigures, TopSnapshot } from './top-snapshot.js';
import { topText } from './top-text.js';

const node = (port: number, changes: Partial<NodeFigures> = {}): NodeFigures => ({
  address: `127.0.0.1:${port}`,
  role: 'master',
  state: 'up',
  pid: port,
  memory_bytes: 12_345_678,
  partitions: 21,
  drivers: 334,
  loss_window_ms: 3_210,
  ...changes,
});

const snapshot = (changes: Partial<TopSnapshot> = {}): TopSnapshot => ({
  at: '2030-01-01T12:00:00.000Z',
  fleet: { connected: 12_000, positions_per_s: 5_985.4, acks_per_s: 3_000, nacks_per_s: 0, ack_p99_ms: 12 },
  archive: {
    postgres_up: true,
    rows_per_s: 812,
    loss_window_ms: 3_210,
    loss_budget_ms: 10_000,
    over_budget: false,
  },
  questions: { per_s: 12.4, p99_ms: 2, incomplete_per_s: 0, refused_per_s: 0 },
  services: [{ name: 'ingest', pids: [1, 2], answers: true, cpu: 0.31, memory_bytes: 120 * 2 ** 20 }],
  nodes: [node(7100), node(7103, { role: 'replica', partitions: 0, drivers: null, loss_window_ms: null })],
  dark: null,
  worst: [
    {
      partition: 36,
      from: 'u3qcn5',
      to: 'u3qcnk',
      city: 'Warsaw',
      node: '127.0.0.1:7100',
      health: 'ok',
      drivers: 10,
      loss_window_ms: 3_210,
    },
  ],
  ...changes,
});

const text = (changes: Partial<TopSnapshot>, columns: number | null = null) =>
  topText(snapshot(changes), columns).join('\n');

test('all is well: rates, the loss window against its budget, nodes and partitions', () => {
  const shown = text({});
  for (const line of [
    'fleet       12,000 drivers   5,985 positions/s   3,000 acks/s   0 nacks/s   p99 12 ms',
    'loss window 3.2 s of 10.0 s  ██████░░░░░░░░░░░░░░   812 rows/s   Postgres up',
    'questions   12/s   p99 2 ms   0 incomplete/s   0 refused/s',
    'dark        nothing',
    'ingest   up     2 processes  31 %  120 MiB',
    '127.0.0.1:7103  replica  up     12 MiB           -        -            -',
    '       36  Warsaw  127.0.0.1:7100  ok           10        3.2 s',
  ]) {
    assert.ok(shown.includes(`${line}\n`) || shown.endsWith(line), line);
  }
});

test('what is dark says since when, how much and where; what is not known is no 0', () => {
  const dark = {
    since: '2030-01-01T11:59:00.000Z',
    partitions: 22,
    of: 64,
    where: 'Warsaw, Nairobi and 3 more',
    nodes: ['127.0.0.1:7101'],
  };
  const fleet = {
    connected: null,
    positions_per_s: null,
    acks_per_s: null,
    nacks_per_s: null,
    ack_p99_ms: null,
  };
  const archive = { ...snapshot().archive, postgres_up: false };
  const shown = text({ dark, fleet, archive, nodes: [node(7101, { state: 'down', memory_bytes: null })] });
  assert.match(shown, /dark {8}since [\d:]{8} {3}22 of 64 partitions {3}Warsaw, Nairobi and 3 more {3}127/);
  assert.match(shown, /fleet {7}- drivers {3}- positions\/s/);
  assert.match(shown, /Postgres DOWN/);
  assert.match(shown, /127\.0\.0\.1:7101 {2}master {2}down/);
});

test('it fits the terminal, and what says most stays whole', () => {
  for (const columns of [100, 80, 60]) {
    const lines = topText(snapshot(), columns);
    assert.deepEqual(
      lines.filter((line) => widthOf(line) > columns),
      [],
    );
    const all = lines.join('\n');
    for (const whole of [
      '127.0.0.1:7103  replica',
      '3.2 s of 10.0 s',
      '0 nacks/s',
      'Postgres up',
      'p99 12 ms',
    ]) {
      assert.ok(all.includes(whole), `${whole} at ${columns}`);
    }
  }
});

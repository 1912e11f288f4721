import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AckLedger } from './ack-ledger.js';

/** What goes out now, as the session would send it. */
function send(ledger: AckLedger, nowMs = 0): number {
  const seq = ledger.dueSeq(nowMs);
  if (seq > 0) ledger.told(seq, nowMs);
  return seq;
}

test('the greatest accepted seq is named, once', () => {
  const ledger = new AckLedger(false);
  assert.equal(send(ledger), 0);
  ledger.accept(3, false);
  ledger.accept(2, false);
  assert.equal(send(ledger), 3);
  assert.equal(send(ledger), 0);
});

test('nothing passes an open checkpoint; up to it, the report before it is named', () => {
  const ledger = new AckLedger(false);
  ledger.open(7, 100, 5);
  ledger.accept(9, false);
  assert.equal(send(ledger), 5);
  ledger.accept(10, false);
  assert.equal(send(ledger), 0);
  ledger.acceptCheckpoint(7, false);
  assert.equal(send(ledger), 10);
});

test('a first report that is a checkpoint has nothing before it', () => {
  const ledger = new AckLedger(false);
  ledger.open(1, 100, 0);
  ledger.accept(2, false);
  assert.equal(send(ledger), 0);
  ledger.acceptCheckpoint(1, false);
  assert.equal(send(ledger), 2);
});

test('a nacked checkpoint holds nothing back, and is known when it comes again', () => {
  const ledger = new AckLedger(false);
  ledger.open(2, 100, 1);
  ledger.refuseCheckpoint(2, true);
  ledger.accept(3, false);
  assert.equal(send(ledger), 3);
  assert.equal(ledger.knows(2, 100), true);
  assert.equal(ledger.knows(2, 101), false);

  ledger.open(2, 100, 1);
  ledger.accept(4, false);
  assert.equal(send(ledger), 0, 'an acknowledgement now could be taken for one of seq 2');
  ledger.acceptCheckpoint(2, false);
  assert.equal(send(ledger), 4);
  assert.equal(ledger.knows(2, 100), false);
});

test('accepted again after all had been told: the same is told once more', () => {
  const ledger = new AckLedger(false);
  ledger.open(2, 100, 1);
  ledger.refuseCheckpoint(2, true);
  ledger.accept(3, false);
  assert.equal(send(ledger), 3);
  ledger.acceptCheckpoint(2, false);
  assert.equal(send(ledger), 3);
  assert.equal(send(ledger), 0);
});

test('a checkpoint that is refused for good is forgotten', () => {
  const ledger = new AckLedger(false);
  ledger.open(2, 100, 1);
  ledger.refuseCheckpoint(2, false);
  assert.equal(ledger.knows(2, 100), false);
  assert.equal(ledger.openCheckpoints(), 0);
});

test('nacked checkpoints that never came again make room', () => {
  const ledger = new AckLedger(false);
  for (let seq = 1; seq <= 30; seq++) {
    ledger.open(seq, seq, seq - 1);
    assert.equal(ledger.isOpen(seq), true);
    ledger.refuseCheckpoint(seq, true);
    assert.equal(ledger.isOpen(seq), false);
  }
  assert.equal(ledger.openCheckpoints(), 0);
  assert.equal(ledger.knows(10, 10), false);
  assert.equal(ledger.knows(11, 11), true);
});

test('sparse: the first at once, then one in ten seconds', () => {
  const ledger = new AckLedger(true);
  ledger.accept(1, false);
  assert.equal(send(ledger, 1000), 1);
  ledger.accept(2, false);
  assert.equal(send(ledger, 10_999), 0);
  assert.equal(ledger.lastSeq(), 2);
  assert.equal(send(ledger, 11_000), 2);
});

test('sparse: at once for a checkpoint, after a nack and when hurried', () => {
  const ledger = new AckLedger(true);
  ledger.accept(1, false);
  send(ledger, 0);
  ledger.open(2, 100, 1);
  ledger.acceptCheckpoint(2, false);
  assert.equal(send(ledger, 1), 2);
  ledger.nacked();
  assert.equal(send(ledger, 2), 0);
  ledger.accept(4, false);
  assert.equal(send(ledger, 3), 4);
  ledger.hurry();
  assert.equal(send(ledger, 4), 4);
  assert.equal(send(ledger, 5), 0);
});

test('sent again although accepted: told again', () => {
  const ledger = new AckLedger(true);
  ledger.accept(1, false);
  send(ledger, 0);
  assert.equal(ledger.repeatIfAccepted(1), true);
  assert.equal(send(ledger, 1), 1);
  assert.equal(ledger.repeatIfAccepted(2), false);
});

test('a lesser durability is told with the next acknowledgement alone', () => {
  const ledger = new AckLedger(false);
  ledger.accept(1, true);
  ledger.accept(2, false);
  assert.equal(ledger.degraded, true);
  send(ledger);
  assert.equal(ledger.degraded, false);
});

test('a kept checkpoint is named only where every report before it has an answer', () => {
  const ledger = new AckLedger(false);
  ledger.submitted(1);
  ledger.open(2, 100, 1);
  ledger.acceptCheckpoint(2, false);
  assert.equal(send(ledger), 0, 'report 1 may still be refused');
  ledger.accept(1, false);
  assert.equal(send(ledger), 2);
  ledger.submitted(3);
  ledger.open(4, 100, 3);
  ledger.acceptCheckpoint(4, false);
  assert.equal(send(ledger), 0);
  ledger.answered(3); // with a nack
  assert.equal(send(ledger), 4);
  assert.equal(send(ledger), 0);
  ledger.accept(3, false);
  assert.equal(send(ledger), 4, 'held, and written since');
});

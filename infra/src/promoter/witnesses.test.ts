import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type NodeClaim, parseClusterNodes } from '../live-store/topology.js';
import type { Testimony } from './watched-node.js';
import { verdictOn } from './witnesses.js';

const NOW_MS = 1_800_000_000_000;
const PORTS = [7001, 7002, 7003, 7004, 7005, 7006];

interface Word {
  /** How long ago the ping of the master in question was sent; null: none is due. */
  pingMs: number | null;
  pongMs: number;
  flag?: string;
}

/** What the node at that port says: of the master at 7001 this, of all others that they are well. */
function testimony(port: number, { pingMs, pongMs, flag = '' }: Word): Testimony {
  const lines = PORTS.map((other, i) => {
    const role = i < 3 ? `master${other === 7001 ? flag : ''} -` : `slave m${i - 3}`;
    const seen =
      other === 7001 ? [pingMs === null ? 0 : NOW_MS - pingMs, NOW_MS - pongMs] : [0, NOW_MS - 100];
    return `m${i} 127.0.0.1:${other}@1 ${role} ${seen.join(' ')} 1 connected${i < 3 ? ` ${i}` : ''}`;
  });
  const address = `127.0.0.1:${port}`;
  return { address, nowMs: NOW_MS, claims: parseClusterNodes(lines.join('\n'), address) };
}

const well: Word = { pingMs: null, pongMs: 300 };
const quiet: Word = { pingMs: null, pongMs: 900 };
const waiting: Word = { pingMs: 350, pongMs: 950 };

function verdict(words: readonly Word[], hasStopped = false) {
  const testimonies = words.map((word, i) => testimony(PORTS[i + 1] as number, word));
  const [master] = testimony(7002, well).claims as [NodeClaim];
  return verdictOn(master, testimonies, hasStopped);
}

test('frozen is whom as many wait for as have to vote', () => {
  assert.equal(verdict([waiting, waiting, waiting, waiting, waiting]), 'frozen');
  assert.equal(verdict([waiting, waiting, quiet, quiet, quiet]), 'frozen');
  assert.equal(verdict([waiting, waiting]), 'frozen');
  assert.equal(
    verdict([
      { ...quiet, flag: ',fail?' },
      { ...quiet, flag: ',fail' },
    ]),
    'frozen',
  );
});

test('one that a single other node waits for, or nobody, is not', () => {
  assert.equal(verdict([waiting, quiet, quiet, quiet, quiet]), 'unclear');
  assert.equal(verdict([quiet, quiet, quiet, quiet, quiet]), 'unclear');
  assert.equal(verdict([{ pingMs: 100, pongMs: 700 }, waiting]), 'unclear');
  assert.equal(verdict([]), 'unclear');
});

test('a replica that gets nothing more is a second witness', () => {
  assert.equal(verdict([quiet, quiet], true), 'frozen');
});

test('whom somebody hears is well, whatever the others say', () => {
  assert.equal(verdict([waiting, waiting, waiting, waiting, well], true), 'heard');
});

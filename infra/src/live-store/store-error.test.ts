// The text of each reply is Redis's own, of 7.0, 7.2 or 8.0.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type StoreErrorCode, storeErrorOfReply } from './store-error.js';

const REPLIES: [message: string, code: StoreErrorCode, ofNode: boolean][] = [
  ['MAPMISMATCH this partition was written under map a, not b', 'map_mismatch', false],
  ['LEASED by host-1', 'leased', false],
  ['TERMCHANGED 1700000000000', 'term_changed', false],
  ["OOM command not allowed when used memory > 'maxmemory'.", 'overloaded', false],
  ['MISCONF Errors writing to the AOF file: No space left on device', 'region_unavailable', true],
  ['NOREPLICAS Not enough good replicas to write.', 'region_unavailable', true],
  ["READONLY You can't write against a read only replica.", 'region_unavailable', true],
  ['CLUSTERDOWN The cluster is down', 'region_unavailable', true],
  ['LOADING Redis is loading the dataset in memory', 'region_unavailable', true],
  [
    "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
    'region_unavailable',
    true,
  ],
  [
    'BUSY Redis is busy running a script. You can only call FUNCTION KILL or SHUTDOWN NOSAVE.',
    'region_unavailable',
    true,
  ],
  ['NOAUTH Authentication required.', 'not_ready', true],
  ['WRONGPASS invalid username-password pair or user is disabled.', 'not_ready', true],
  ["NOPERM this user has no permissions to run the 'fcall' command", 'not_ready', true],
  ["NOPERM User ingest has no permissions to run the 'fcall' command", 'not_ready', true],
  ['ERR Function not found', 'not_ready', true],
  ['TRYAGAIN Multiple keys request during rehashing of slot', 'not_ready', false],
  [
    'WRONGTYPE Operation against a key holding the wrong kind of value script: record_1, on @user_function:300.',
    'refused',
    false,
  ],
  [
    "ERR The user executing the script can't run this command or subcommand script: record_1, on @user_function:300.",
    'refused',
    false,
  ],
  ['ERR user_function:260: bad argument script: record_1, on @user_function:260.', 'refused', false],
  ['ERR Error running script: Script killed by user with FUNCTION KILL.', 'refused', false],
  ['ERR This Redis command is not allowed from script', 'refused', false],
  ['EXECABORT Transaction discarded because of previous errors.', 'refused', false],
  ['NOSCRIPT No matching script. Please use EVAL.', 'refused', false],
  ['UNKILLABLE Sorry the script already executed write commands.', 'refused', false],
  ["CROSSSLOT Keys in request don't hash to the same slot", 'refused', false],
  ['SOMETHINGNEW of a Redis to come', 'refused', false],
  ['SOMETHINGNEW', 'refused', false],
  ['', 'refused', false],
];

test('what is not known is an outage; only our own functions say that a call does not fit', () => {
  for (const [message, code, ofNode] of REPLIES) {
    const error = storeErrorOfReply(message);
    assert.deepEqual([error.code, error.ofNode], [code, ofNode], message);
    const isOurs = ['map_mismatch', 'leased', 'term_changed'].includes(code);
    assert.equal(error.retryable, !isOurs, message);
  }
});

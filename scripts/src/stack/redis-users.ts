// What each service may do in Redis. Functions run with their caller's rights, so each user needs the commands that the
// functions it calls use (infra/redis/log.lua), on the keys that it works on and on no others.
import type { RedisUser } from '@whereabouts/infra/local/redis-servers';
import type { StackSecrets } from './secrets.js';

type Key = 'log' | 'snapshot' | 'meta' | 'checkpoints' | 'sessions' | 'refused' | 'lease' | 'compaction';

const writes = (...keys: Key[]) => keys.map((key) => `~${key}:{*}`).join(' ');
const reads = (...keys: Key[]) => keys.map((key) => `%R~${key}:{*}`).join(' ');

/** To find the masters, and to follow a slot that moves. */
const FIND = '+ping +asking +cluster|nodes';
/** What LogStore reads with: plain commands. */
const READ = '+time +hget +hmget +hgetall +hscan +hlen +xrange +xlen';
/** Whoever writes proves by `info` which process it writes to. */
const WRITE = `+fcall +info +hset +hdel +xadd +xtrim +xinfo|stream +set`;
/** Leases: to take one and to give it back. */
const LEASE = '+get +del +pttl';
/** Processes of ingest tell each other on channels of their own which connections are superseded. */
const TELL = '+ssubscribe +sunsubscribe +spublish &supersession:*';
const VIEW = reads('log', 'snapshot', 'meta', 'checkpoints', 'refused');
/** It sees no key and runs no function. */
const PROMOTER = '+ping +info +cluster|nodes +cluster|info +cluster|failover';

const RULES = {
  ingest: [
    writes('log', 'snapshot', 'meta', 'checkpoints', 'sessions', 'compaction'),
    `${FIND} ${READ} ${WRITE} +wait`,
    TELL,
  ],
  flusher: [
    writes('log', 'snapshot', 'meta', 'checkpoints', 'sessions', 'refused', 'lease', 'compaction'),
    `${FIND} ${READ} ${WRITE} ${LEASE} +function|load`,
  ],
  query: [VIEW, `${FIND} ${READ}`],
  promoter: [PROMOTER],
  /** Who looks from outside: drills, `npm run inspect`, the stack's own watch on its nodes; also at replicas. */
  reader: [VIEW, reads('sessions'), `${FIND} ${READ} +info +readonly`],
} as const;

type UserName = keyof typeof RULES;

export const redisUserName = (service: UserName): string => `whereabouts_${service}`;

export const redisUsers = ({ redis }: StackSecrets): RedisUser[] =>
  (Object.keys(RULES) as UserName[]).map((service) => ({
    name: redisUserName(service),
    password: redis[service],
    rules: RULES[service].join(' '),
  }));

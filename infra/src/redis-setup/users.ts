// What each service may do in Redis. Functions run with their caller's rights, so each user needs the commands that its
// functions call (infra/redis/log.lua), on the keys that it works on and on no others.

type Key = 'log' | 'snapshot' | 'meta' | 'checkpoints' | 'sessions' | 'refused' | 'lease' | 'compaction';

const writes = (...keys: Key[]) => keys.map((key) => `~${key}:{*}`).join(' ');
const reads = (...keys: Key[]) => keys.map((key) => `%R~${key}:{*}`).join(' ');

/** To find the masters, and to follow a slot that moves. */
const FIND = '+ping +asking +cluster|nodes';
/** The plain commands with which LogStore reads. */
const READ = '+time +hget +hmget +hgetall +hscan +hlen +xrange +xlen';
/** A writer uses `info` to verify which process it writes to. */
const WRITE = `+fcall +info +hset +hdel +xadd +xtrim +xinfo|stream +set`;
/** Leases: to take one and to give it back. */
const LEASE = '+get +del +pttl';
/** Processes of ingest tell each other which connections are superseded, on separate channels. */
const TELL = '+ssubscribe +sunsubscribe +spublish &supersession:*';
const VIEW = reads('log', 'snapshot', 'meta', 'checkpoints', 'refused');
/** It can access no key and run no function. */
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
  /** For outside observers: drills, `npm run inspect`, the stack's own watch on its nodes; also at replicas. */
  reader: [VIEW, reads('sessions'), `${FIND} ${READ} +info +readonly`],
} as const;

type UserName = keyof typeof RULES;

/** `rules` as in an ACL file, for example `~{*}* +fcall +ping`. */
export interface RedisUser {
  name: string;
  password: string;
  rules: string;
}

export const USER_NAMES = Object.keys(RULES) as UserName[];

export const redisUserName = (service: UserName): string => `whereabouts_${service}`;

export const redisUsers = (passwords: Readonly<Record<UserName, string>>): RedisUser[] =>
  USER_NAMES.map((service) => ({
    name: redisUserName(service),
    password: passwords[service],
    rules: RULES[service].join(' '),
  }));

/** What a replica needs at its master, and nothing else. */
export const REPLICA = { name: 'replica', rules: 'resetchannels -@all +psync +replconf +ping' } as const;
const ADMIN_RULES = '~* &* +@all';

export interface AclPasswords {
  /** Null: none is needed. */
  admin: string | null;
  replica: string | null;
}

/** `written`: a password as it stands in the file, `>password` or `#` with its SHA-256. */
export function aclFile(
  { admin, replica }: AclPasswords,
  users: readonly RedisUser[],
  written: (password: string) => string,
): string {
  const line = (name: string, secret: string, rules: string) => `user ${name} on ${secret} ${rules}\n`;
  return [
    line('default', admin === null ? 'nopass' : written(admin), ADMIN_RULES),
    ...(replica === null ? [] : [line(REPLICA.name, written(replica), REPLICA.rules)]),
    ...users.map(({ name, password, rules }) => line(name, written(password), rules)),
  ].join('');
}

// What each service may do in Redis. Functions run with their caller's rights, so each user needs the commands that
// its functions use, on the partitions' keys alone.
import type { RedisUser } from '@whereabouts/infra/dev/redis-servers';
import type { StackSecrets } from './secrets.js';

const KEYS = '~positions:{*} ~available:{*} ~busy:{*} ~meta:{*} ~checkpoints:{*} ~lease:{*}';
/** It sees no key and runs no function. */
const PROMOTER = '+auth +hello +ping +info +cluster|nodes +cluster|info +cluster|failover';
/** To find the masters and to know who is who. */
const FIND = '+auth +hello +ping +time +info +role +wait +readonly +asking +cluster|nodes +cluster|myid';
const CALL = '+fcall +fcall_ro +function|list';
const READ =
  '+hget +hmget +hgetall +hscan +hlen +hexists +hrandfield +zcard +zscore +geosearch +geopos +get +pttl +exists';
const WRITE = '+hset +hsetnx +hdel +hincrby +zadd +zrem +set +del +expire +pexpire';

export function redisUsers(secrets: StackSecrets): RedisUser[] {
  const user = (name: string, password: string, rules: string): RedisUser => ({
    name: `whereabouts_${name}`,
    password,
    rules: `${KEYS} ${FIND} ${rules}`,
  });
  return [
    user('ingest', secrets.redis.ingest, `${CALL} ${READ} ${WRITE}`),
    user('flusher', secrets.redis.flusher, `${CALL} ${READ} ${WRITE} +function|load`),
    user('query', secrets.redis.query, `${CALL} ${READ}`),
    { name: redisUserName('promoter'), password: secrets.redis.promoter, rules: PROMOTER },
    user('reader', secrets.redis.reader, `${CALL} ${READ}`),
  ];
}

export const redisUserName = (service: 'ingest' | 'flusher' | 'query' | 'promoter' | 'reader'): string =>
  `whereabouts_${service}`;

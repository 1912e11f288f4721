// node infra/dist/src/redis-setup/files.js: writes what a Redis node needs beside redis.conf. It must not be in an
// image.
//
//   REDIS_PASSWORDS_DIR/redis-admin, redis-replica, redis-ingest, ...   one password in each file
//   REDIS_SETUP_DIR/users.acl      the users, with hashes of their passwords
//   REDIS_SETUP_DIR/secrets.conf   to be included by redis.conf: the users, and the password of the replicas
//
// It may be run again; a node reads the files when it starts.

import { createHash } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { launch } from '../service/launch.js';
import { SettingsReader } from '../service/settings.js';
import { aclFile, REPLICA, redisUsers, USER_NAMES } from './users.js';

type Passwords = Record<(typeof USER_NAMES)[number] | 'admin' | 'replica', string>;

/** Shorter ones could be guessed. */
const MIN_PASSWORD = 16;
/** In redis.conf and in an ACL file, a blank or a quotation mark ends a word. */
const PASSWORD = new RegExp(`^[!#-&(-~]{${MIN_PASSWORD},}$`);

function readPasswords(env: NodeJS.ProcessEnv, dir: string, reader: SettingsReader): Passwords {
  const read = (name: string): string => {
    const files = new SettingsReader({ ...env, PASSWORD_FILE: join(dir, `redis-${name}`) });
    const password = files.secret('PASSWORD', { about: `the password of ${name}` }) ?? '';
    if (!PASSWORD.test(password))
      reader.problem(
        `REDIS_PASSWORDS_DIR: ${join(dir, `redis-${name}`)} has to hold a password of at least ${MIN_PASSWORD} ` +
          'printable characters, without blanks and quotation marks',
      );
    return password;
  };
  const names = ['admin', 'replica', ...USER_NAMES] as const;
  return Object.fromEntries(names.map((name) => [name, read(name)])) as Passwords;
}

const hashed = (password: string) => `#${createHash('sha256').update(password).digest('hex')}`;

await launch('redis-setup', async () => {
  const reader = new SettingsReader(process.env);
  const dir = reader.string('REDIS_SETUP_DIR', { about: 'the folder to write to' });
  const passwordsDir = reader.string('REDIS_PASSWORDS_DIR', { about: 'the folder with the passwords' });
  const passwords = passwordsDir === '' ? null : readPasswords(process.env, passwordsDir, reader);
  reader.finish({});
  if (passwords === null) return;
  mkdirSync(dir, { recursive: true });
  // Redis has to read them, and in containers it usually runs as another user.
  const write = (name: string, text: string) => writeFileSync(join(dir, name), text, { mode: 0o644 });
  const acl = join(dir, 'users.acl');
  write('users.acl', aclFile(passwords, redisUsers(passwords), hashed));
  write('secrets.conf', `aclfile "${acl}"\nmasteruser ${REPLICA.name}\nmasterauth ${passwords.replica}\n`);
  process.stdout.write(`wrote users.acl and secrets.conf to ${dir}\n`);
});

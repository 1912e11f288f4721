import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { SettingsError, SettingsReader } from './settings-reader.js';

const dir = mkdtempSync(join(tmpdir(), 'whereabouts-settings-'));
after(() => rmSync(dir, { recursive: true }));

function fileWith(content: string): string {
  const path = join(dir, `${Math.random().toString(36).slice(2)}.txt`);
  writeFileSync(path, content);
  return path;
}

function problemsOf(reader: SettingsReader): readonly string[] {
  try {
    reader.finish({});
    return [];
  } catch (error) {
    assert.ok(error instanceof SettingsError);
    assert.equal(error.code, 'bad_settings');
    return error.problems;
  }
}

const INTERVAL = { default: 5000, min: 100, max: 60_000, about: 'how often' };

test('every problem is reported at once, with the name, what was given and what is allowed', () => {
  const reader = new SettingsReader({ INTERVAL_MS: '5s', MODE: 'fast', FLAG: 'yes', LIST: 'a,,B' });
  assert.equal(reader.integer('INTERVAL_MS', INTERVAL), 5000);
  reader.choice('MODE', { values: ['cache', 'replicated'], default: 'cache', about: 'a mode' });
  reader.boolean('FLAG', { default: false, about: 'a flag' });
  reader.string('NEEDED', { about: 'a thing', hint: 'a thing of some kind' });
  reader.list('LIST', { about: 'letters', pattern: /^[a-z]$/, hint: 'small letters' });
  reader.problem('A is above B: give a smaller A');
  assert.deepEqual(problemsOf(reader), [
    'INTERVAL_MS is "5s": give a whole number from 100 to 60000',
    'MODE is "fast": give one of cache, replicated',
    'FLAG is "yes": give one of true, false',
    'NEEDED is not set: give a thing of some kind',
    'LIST is "a,,B": give a list without empty places',
    'LIST is "B": give small letters',
    'A is above B: give a smaller A',
  ]);
  assert.throws(() => reader.finish({}), /INTERVAL_MS[\s\S]*MODE[\s\S]*NEEDED/);
});

test('numbers are strict', () => {
  for (const given of [
    '5s',
    '1e3',
    ' 5',
    '5 ',
    '5.5',
    '0x10',
    '007',
    '-0',
    '+5',
    '99',
    '60001',
    'NaN',
    '-',
  ]) {
    const reader = new SettingsReader({ N: given });
    reader.integer('N', INTERVAL);
    assert.deepEqual(problemsOf(reader), [`N is "${given}": give a whole number from 100 to 60000`]);
  }
  const wide = { default: 1, min: -5, max: Number.MAX_SAFE_INTEGER, about: 'n' };
  for (const given of ['0', '-5', '9007199254740991']) {
    assert.equal(new SettingsReader({ N: given }).integer('N', wide), Number(given));
  }
  const beyond = new SettingsReader({ N: '9007199254740992' });
  beyond.integer('N', wide);
  assert.equal(problemsOf(beyond).length, 1);
});

test('an empty string counts as absent', () => {
  const reader = new SettingsReader({ N: '', S: '', O: '', L: '', SECRET: '', SECRET_FILE: '' });
  assert.equal(reader.integer('N', INTERVAL), 5000);
  assert.equal(reader.string('S', { default: 'x', about: 's' }), 'x');
  assert.equal(reader.optionalString('O', { about: 'o' }), undefined);
  assert.deepEqual(reader.list('L', { default: ['a'], about: 'l' }), ['a']);
  assert.equal(reader.secret('SECRET', { about: 'secret' }), undefined);
  assert.deepEqual(problemsOf(reader), []);
});

test('a secret comes from its variable or from a file, less one trailing newline', () => {
  const read = (env: NodeJS.ProcessEnv) => new SettingsReader(env).secret('KEY', { about: 'a key' });
  assert.equal(read({ KEY: 'plain' }), 'plain');
  assert.equal(read({ KEY_FILE: fileWith('from a file\n') }), 'from a file');
  assert.equal(read({ KEY_FILE: fileWith('crlf\r\n') }), 'crlf');
  assert.equal(read({ KEY_FILE: fileWith(' kept \n\n') }), ' kept \n');
});

test('a secret given twice, unreadable or empty is a problem, told without the secret', () => {
  const problems = (env: NodeJS.ProcessEnv) => {
    const reader = new SettingsReader(env);
    reader.secret('KEY', { about: 'a key' });
    return problemsOf(reader);
  };
  const both = problems({ KEY: 'hush', KEY_FILE: fileWith('hush') });
  assert.deepEqual(both, ['KEY and KEY_FILE are both set: give one of them']);
  const missing = join(dir, 'missing');
  assert.deepEqual(problems({ KEY_FILE: missing }), [
    `KEY_FILE is "${missing}": give the path of a file that can be read (ENOENT)`,
  ]);
  assert.match(problems({ KEY_FILE: dir })[0] ?? '', /EISDIR/);
  assert.match(problems({ KEY_FILE: fileWith('\n') })[0] ?? '', /empty/);
});

test('a refused address is shown without its credentials', () => {
  const reader = new SettingsReader({ URL: 'ftp://user:hush@host/' });
  reader.string('URL', { about: 'an address', pattern: /^https:/, hint: 'an https address' });
  assert.deepEqual(problemsOf(reader), ['URL is "ftp://***@host/": give an https address']);
});

test('files must be readable', () => {
  const path = fileWith('{}');
  const good = new SettingsReader({ MAP: path, KEY: path });
  assert.equal(good.file('MAP', { about: 'the map' }), path);
  assert.deepEqual(good.optionalFile('KEY', { about: 'a key' }), { path, content: '{}' });
  assert.deepEqual(problemsOf(good), []);

  const bad = new SettingsReader({ MAP: join(dir, 'missing') });
  bad.file('MAP', { about: 'the map' });
  bad.file('OTHER', { about: 'another file' });
  assert.equal(bad.optionalFile('KEY', { about: 'a key' }), undefined);
  assert.equal(problemsOf(bad).length, 2);
});

test('finished settings are frozen all the way down', () => {
  const settings = new SettingsReader({}).finish({ redis: { urls: ['a'] }, n: 1 });
  assert.throws(() => settings.redis.urls.push('b'), TypeError);
  assert.throws(() => {
    settings.redis.urls = [];
  }, TypeError);
});

test('each setting that is read is described, also where the environment is wrong', () => {
  const reader = new SettingsReader({ N: 'x' });
  reader.integer('N', INTERVAL);
  reader.string('S', { about: 'a string' });
  reader.secret('KEY', { about: 'a key' });
  reader.list('L', { default: ['a', 'b'], about: 'a list' });
  reader.integer('N', INTERVAL);
  assert.deepEqual(reader.described(), [
    { name: 'N', default: '5000', required: false, about: 'how often' },
    { name: 'S', default: null, required: true, about: 'a string' },
    { name: 'KEY', default: null, required: false, about: 'a key' },
    { name: 'KEY_FILE', default: null, required: false, about: 'a file that holds KEY' },
    { name: 'L', default: 'a,b', required: false, about: 'a list' },
  ]);
});

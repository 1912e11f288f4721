// The pages are promises to people who do not read the code: settings with their defaults, files, links, commands.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { type SettingDescription, SettingsReader } from '@whereabouts/infra/service/settings-reader';
import { root } from './home.js';
import { anchorsOf, commandsOf, fences, linksOf, npmCommands, pages } from './testing/pages.js';

const SERVICES = ['ingest', 'flusher', 'query-api'];

const read = (path: string): string => readFileSync(join(root, path), 'utf8');

interface Row {
  readBy: string;
  default: string;
}

/** `| \`NAME\`, \`NAME_FILE\` | read by | default | meaning |` */
function settingsTable(): Map<string, Row> {
  const rows = new Map<string, Row>();
  for (const line of read('docs/settings.md').split('\n')) {
    const [, names = '', readBy = '', fallback = '', meaning = ''] = line
      .split('|')
      .map((cell) => cell.trim());
    if (!/^`[A-Z_]+`/.test(names) || meaning === '') continue;
    for (const [, name] of names.matchAll(/`([A-Z_]+)`/g)) {
      assert.ok(!rows.has(name as string), `${name} has two rows`);
      rows.set(name as string, { readBy, default: fallback });
    }
  }
  return rows;
}

/** The settings that a service reads. Loaded by path, since no package may import a service. */
async function settingsOf(service: string): Promise<SettingDescription[]> {
  const module = await import(pathToFileURL(join(root, service, 'dist', 'settings.js')).href);
  const readers = Object.entries(module).filter(([name]) => /^read\w*Settings$/.test(name));
  assert.equal(readers.length, 1, `${service}/src/settings.ts exports one function that reads its settings`);
  const readSettings = readers[0]?.[1] as (from: unknown) => unknown;
  const { finish } = SettingsReader.prototype;
  let described: SettingDescription[] = [];
  SettingsReader.prototype.finish = function (this: SettingsReader, settings) {
    described = this.described();
    return settings;
  };
  try {
    // Where a settings function takes a reader, an empty reader serves as an empty environment.
    readSettings(new SettingsReader({}));
  } finally {
    SettingsReader.prototype.finish = finish;
  }
  return described;
}

function expectedRow(read: ReadonlyMap<string, SettingDescription>): Row {
  const all = [...read];
  const readBy = all.length === SERVICES.length ? 'all' : all.map(([service]) => service).join(', ');
  const shown = ({ required, default: fallback }: SettingDescription) =>
    required ? 'required' : fallback === null ? '' : `\`${fallback}\``;
  const different = new Set(all.map(([, setting]) => shown(setting)));
  if (different.size === 1) return { readBy, default: [...different][0] as string };
  return { readBy, default: all.map(([service, setting]) => `${shown(setting)} ${service}`).join(', ') };
}

/** Names that other programs read: migrations, `npm start`, tests. */
function namesReadElsewhere(): Set<string> {
  const names = new Set<string>();
  const look = (path: string, pattern: RegExp) => {
    for (const [, name] of read(path).matchAll(pattern)) names.add(name as string);
  };
  look('flusher/src/migrate.ts', /(?:secret|passwordOf)\((?:reader, )?'([A-Z_]+)'/g);
  for (const name of [...names]) names.add(`${name}_FILE`);
  for (const dir of ['scripts/src', 'infra/local']) {
    for (const file of readdirSync(join(root, dir), { recursive: true, encoding: 'utf8' })) {
      if (file.endsWith('.ts') && !file.endsWith('.test.ts')) {
        look(join(dir, file), /process\.env\.([A-Z_]+)/g);
      }
    }
  }
  for (const ofEveryProgram of ['PATH', 'NO_COLOR', 'INIT_CWD']) names.delete(ofEveryProgram);
  return names;
}

test('the table of settings has every setting of every service, with its default', async () => {
  const readBy = new Map<string, Map<string, SettingDescription>>();
  for (const service of SERVICES) {
    for (const setting of await settingsOf(service)) {
      const readers = readBy.get(setting.name) ?? new Map<string, SettingDescription>();
      readBy.set(setting.name, readers.set(service, setting));
    }
  }
  assert.ok(readBy.size > 30, 'the services were read');
  const rows = settingsTable();
  for (const [name, readers] of readBy) {
    assert.deepEqual(rows.get(name), expectedRow(readers), `the row of ${name}`);
  }
  const elsewhere = namesReadElsewhere();
  assert.deepEqual(
    [...elsewhere].filter((name) => !rows.has(name)),
    [],
    'read outside of the services, without a row',
  );
  const known = (name: string) => readBy.has(name) || elsewhere.has(name);
  assert.deepEqual(
    [...rows.keys()].filter((name) => !known(name)),
    [],
    'rows that nobody reads',
  );
});

test('every link leads to a file that is there, and every anchor to a heading', () => {
  const texts = new Map(pages().map(({ path, text }) => [path, text]));
  for (const page of pages()) {
    for (const { to, anchor } of linksOf(page)) {
      assert.ok(existsSync(join(root, to)), `${page.path} links to ${to}`);
      const target = texts.get(to);
      if (anchor !== undefined && target !== undefined)
        assert.ok(anchorsOf(target).has(anchor), `${page.path} links to ${to}#${anchor}`);
    }
  }
});

test('every source file that a page names is there', () => {
  for (const { path: page, text } of pages()) {
    for (const [, path] of text.matchAll(/`([\w-]+\/[\w./-]+\.(?:ts|js|mjs|lua|sql|json|ya?ml))`/g)) {
      const places = [path as string, join(dirname(page), path as string)];
      const isThere = places.some((place) => existsSync(join(root, place)));
      assert.ok(isThere || /\/dist\//.test(path as string), `${page} names ${path}`);
    }
  }
});

test('every npm script that a page names is there, and takes the options that stand behind it', () => {
  const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> };
  const helps = new Map<string, string>();
  const helpOf = (name: string) => {
    const compiled = join(root, 'scripts', 'dist', `${name}.js`);
    if (!existsSync(compiled)) return null;
    const help =
      helps.get(name) ?? execFileSync(process.execPath, [compiled, '--help'], { encoding: 'utf8' });
    helps.set(name, help);
    return help;
  };
  for (const { path, text } of pages()) {
    for (const { name, options } of npmCommands(text)) {
      assert.ok(name in scripts, `${path} says npm run ${name}`);
      const help = options.length > 0 ? helpOf(name) : null;
      if (help === null) continue;
      for (const option of options) assert.ok(help.includes(option), `${path}: npm run ${name} ${option}`);
    }
  }
});

test('commands stand in blocks that a test runs, and read addresses from stack.json', () => {
  for (const page of pages()) {
    for (const { language, line, code } of fences(page)) {
      const place = `${page.path}:${line}`;
      assert.ok(!['bash', 'shell', 'console', 'shellsession'].includes(language), `${place}: use sh`);
      if (language === 'sh')
        assert.doesNotMatch(code, /^\$ /m, `${place}: no prompt, so that it can be copied`);
    }
    for (const { line, code, notRun } of commandsOf(page)) {
      if (notRun === undefined)
        assert.doesNotMatch(
          code,
          /(?:localhost|127\.0\.0\.1):\d/,
          `${page.path}:${line}: the port may be another`,
        );
    }
  }
});

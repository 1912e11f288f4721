// Writes each forbidden import into a copy of the project. `npm run check` has to refuse it: by the compiler (composite
// projects, `"exports": {}` in the services), by check-imports (undeclared packages) or by the linter (cycles).
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { forbiddenImports } from './check-imports.js';
import { copyProject } from './project-copy.js';

const FIXTURE = 'forbidden-import.ts';
/** The compiler names the file, or the project that would be compiled into another's place. */
const REFUSED = /forbidden-import|error TS(5055|6059|6307)/;

interface Rule {
  says: string;
  workspace: string;
  source: string;
}

const RULES: Rule[] = [
  ...forbidden('ingest', 'flusher'),
  ...forbidden('ingest', 'query-api'),
  ...forbidden('flusher', 'ingest'),
  ...forbidden('flusher', 'query-api'),
  ...forbidden('query-api', 'flusher'),
  ...forbidden('query-api', 'ingest'),
  ...forbidden('infra', 'ingest'),
  ...forbidden('infra', 'flusher'),
  ...forbidden('infra', 'query-api'),
  undeclared('infra', '@whereabouts/client/protocol'),
  undeclared('query-api', '@whereabouts/client/protocol'),
  undeclared('flusher', '@whereabouts/client/protocol'),
  relative('infra', 'ingest/client', 'protocol'),
  undeclared('query-api', 'pg'),
  undeclared('infra', 'pg'),
  undeclared('ingest', 'pg'),
  {
    says: 'bench imports what is for tests',
    workspace: 'bench',
    source: "import '@whereabouts/scripts/testing/places';\n",
  },
];

/** A service by its package name, and by path instead. */
function forbidden(from: string, to: string): Rule[] {
  const byName = {
    says: `${from} imports ${to}`,
    workspace: from,
    source: `import '@whereabouts/${to}/main';\n`,
  };
  return [byName, relative(from, to, 'main')];
}

function relative(from: string, to: string, module: string): Rule {
  const source = `import * as other from '../../${to}/src/${module}.js';\nconsole.log(other);\n`;
  return { says: `${from} imports ${to} by its path`, workspace: from, source };
}

function undeclared(from: string, name: string): Rule {
  const source = `import * as other from '${name}';\nconsole.log(other);\n`;
  return { says: `${from} imports ${name}, which it did not declare`, workspace: from, source };
}

let copy: Awaited<ReturnType<typeof copyProject>>;

before(async () => {
  copy = await copyProject();
});

after(() => copy.remove());

async function complaints(workspace: string): Promise<string> {
  const compiler = join(copy.dir, 'node_modules', 'typescript', 'bin', 'tsc');
  const args = [compiler, '-b', workspace];
  const { stdout } = spawnSync(process.execPath, args, { cwd: copy.dir, encoding: 'utf8' });
  return [stdout, ...(await forbiddenImports(copy.dir))].join('\n');
}

test('the project as it is has no forbidden import', async () => {
  assert.deepEqual(await forbiddenImports(copy.dir), []);
});

for (const rule of RULES) {
  test(rule.says, async () => {
    const file = join(copy.dir, rule.workspace, 'src', FIXTURE);
    await writeFile(file, rule.source);
    try {
      assert.match(await complaints(rule.workspace), REFUSED);
    } finally {
      await rm(file);
    }
  });
}

/** The linter's messages about cycles for a file of the copy. */
function cyclesOf(file: string): string {
  const biome = join(copy.dir, 'node_modules', '@biomejs', 'biome', 'bin', 'biome');
  const args = [
    biome,
    'lint',
    '--only=suspicious/noImportCycles',
    '--vcs-enabled=false',
    '--colors=off',
    file,
  ];
  const { stdout, stderr } = spawnSync(process.execPath, args, { cwd: copy.dir, encoding: 'utf8' });
  return stdout + stderr;
}

test('files that import each other, be it for types alone', async () => {
  const folder = join(copy.dir, 'infra', 'src');
  const [one, other] = ['cycle-one', 'cycle-other'];
  const importing = (name: string) =>
    `import type { Shape as Other } from './${name}.js';\n\nexport interface Shape {\n  other: Other;\n}\n`;
  await writeFile(join(folder, `${one}.ts`), importing(other));
  await writeFile(join(folder, `${other}.ts`), 'export interface Shape {\n  size: number;\n}\n');
  assert.doesNotMatch(cyclesOf(join('infra', 'src', `${one}.ts`)), /part of a cycle/);
  await writeFile(join(folder, `${other}.ts`), importing(one));
  try {
    assert.match(cyclesOf(join('infra', 'src', `${one}.ts`)), /part of a cycle/);
  } finally {
    for (const name of [one, other]) await rm(join(folder, `${name}.ts`));
  }
});

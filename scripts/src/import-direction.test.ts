// Each forbidden import is written into a copy of the project, and what `npm run check` runs has to refuse it: the
// compiler (composite projects, `"exports": {}` in the services) or check-imports (packages that nobody declared).
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { undeclaredImports } from './check-imports.js';
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
];

/** A service by its package name, and past it by path. */
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
  return [stdout, ...(await undeclaredImports(copy.dir))].join('\n');
}

test('the project as it is has no undeclared import', async () => {
  assert.deepEqual(await undeclaredImports(copy.dir), []);
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

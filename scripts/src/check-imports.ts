// Checks what neither Node nor the compiler sees. Every package that a workspace's sources import must be declared by
// that workspace: hoisting makes the others' dependencies resolve too. Tests may also use devDependencies, including
// the root's. And only tests import from a folder of tests.
import { existsSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { isBuiltin } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { root } from './home.js';

interface Manifest {
  workspaces?: string[];
  dependencies?: Record<string, string>;
  devDependencies?: Record<string, string>;
  optionalDependencies?: Record<string, string>;
}

/** `from 'x'`, `import 'x'`, `import('x')` at the start of a statement; prose never looks like that. */
const IMPORT = /(?:^|[\s;}])(?:from|import)\s*\(?\s*'([@\w./:-]+)'/g;

/** Folders that only tests need. */
const FOR_TESTS = /(?:^|\/)(?:testing|fixtures)\//;

const isForTests = (place: string): boolean => place.endsWith('.test.ts') || FOR_TESTS.test(place);

const readManifest = async (dir: string): Promise<Manifest> =>
  JSON.parse(await readFile(join(dir, 'package.json'), 'utf8')) as Manifest;

/** `@scope/name/deep` -> `@scope/name`, `name/deep` -> `name`; null for our own files and for Node's modules. */
function packageOf(specifier: string): string | null {
  if (specifier.startsWith('.') || isBuiltin(specifier)) return null;
  const parts = specifier.split('/');
  return specifier.startsWith('@') ? parts.slice(0, 2).join('/') : (parts[0] ?? null);
}

const importsOf = (source: string): string[] =>
  [...source.matchAll(IMPORT)].map((match) => match[1] as string);

function undeclaredIn(source: string, declared: ReadonlySet<string>): string[] {
  const names = importsOf(source).map(packageOf);
  return [...new Set(names)].filter((name): name is string => name !== null && !declared.has(name));
}

/** `local` is infra's: servers for one machine. */
const SOURCE_FOLDERS = ['src', 'local'];

async function sourcesOf(projectDir: string, workspace: string): Promise<string[]> {
  const folders = SOURCE_FOLDERS.map((name) => join(workspace, name)).filter((folder) =>
    existsSync(join(projectDir, folder)),
  );
  const found = await Promise.all(
    folders.map(async (folder) => {
      const files = await readdir(join(projectDir, folder), { recursive: true });
      return files.filter((file) => file.endsWith('.ts')).map((file) => join(folder, file));
    }),
  );
  return found.flat();
}

/** One line for each forbidden import. */
export async function forbiddenImports(projectDir: string): Promise<string[]> {
  const { workspaces = [], devDependencies = {} } = await readManifest(projectDir);
  const complaints: string[] = [];
  for (const workspace of workspaces) {
    const own = await readManifest(join(projectDir, workspace));
    const declared = new Set(Object.keys({ ...own.dependencies, ...own.optionalDependencies }));
    const forTests = new Set([...declared, ...Object.keys({ ...own.devDependencies, ...devDependencies })]);
    for (const place of await sourcesOf(projectDir, workspace)) {
      const allowed = isForTests(place) ? forTests : declared;
      const source = await readFile(join(projectDir, place), 'utf8');
      for (const name of undeclaredIn(source, allowed)) {
        complaints.push(`${place}: ${name} is not a dependency of ${workspace}`);
      }
      if (isForTests(place)) continue;
      for (const name of importsOf(source).filter((specifier) => FOR_TESTS.test(specifier))) {
        complaints.push(`${place}: ${name} is for tests alone`);
      }
    }
  }
  return complaints;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const complaints = await forbiddenImports(root);
  for (const complaint of complaints) console.log(complaint);
  process.exitCode = complaints.length === 0 ? 0 : 1;
}

// A copy of the project's sources in a temporary folder, to which forbidden code may be added. Dependencies are
// linked one by one, so that the workspaces' own links point into the copy.
import { existsSync } from 'node:fs';
import { cp, lstat, mkdir, mkdtemp, readdir, readFile, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { root } from './home.js';

const SCOPE = '@whereabouts';
const NOT_COPIED = new Set(['node_modules', '.git', '.whereabouts', 'coverage']);

/** The folder of each of our packages, by the name under which others import it. */
async function workspacesByName(workspaces: readonly string[]): Promise<Map<string, string>> {
  const names = new Map<string, string>();
  for (const workspace of workspaces) {
    const { name } = JSON.parse(await readFile(join(root, workspace, 'package.json'), 'utf8'));
    names.set(name, workspace);
  }
  return names;
}

async function linkDependencies(copy: string, folder: string): Promise<void> {
  const from = join(root, folder, 'node_modules');
  if (!existsSync(from)) return;
  const to = join(copy, folder, 'node_modules');
  await mkdir(to, { recursive: true });
  for (const name of await readdir(from)) {
    if (name !== SCOPE) await symlink(join(from, name), join(to, name));
  }
}

async function linkWorkspaces(copy: string, workspaces: readonly string[]): Promise<void> {
  await mkdir(join(copy, 'node_modules', SCOPE), { recursive: true });
  for (const [name, workspace] of await workspacesByName(workspaces)) {
    await symlink(join(copy, workspace), join(copy, 'node_modules', name));
  }
}

/** The copy's path, and a function that removes it. */
export async function copyProject(): Promise<{ dir: string; remove(): Promise<void> }> {
  const dir = await mkdtemp(join(tmpdir(), 'whereabouts-copy-'));
  for (const name of await readdir(root)) {
    const isFolder = (await lstat(join(root, name))).isDirectory();
    if (NOT_COPIED.has(name) || (isFolder && name.startsWith('.'))) continue;
    const filter = (source: string) => !NOT_COPIED.has(basename(source));
    await cp(join(root, name), join(dir, name), { recursive: true, filter, preserveTimestamps: true });
  }
  const { workspaces } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8'));
  await linkDependencies(dir, '');
  for (const workspace of workspaces) await linkDependencies(dir, workspace);
  await linkWorkspaces(dir, workspaces);
  return { dir, remove: () => rm(dir, { recursive: true, force: true }) };
}

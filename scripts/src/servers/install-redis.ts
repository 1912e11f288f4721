// Installs redis-server on Debian and Ubuntu: as root with apt-get, as a normal user by unpacking the same packages
// into `.whereabouts/redis`, without touching the system.
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { chmod, mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);
const MAX_BUFFER = 1 << 24;
const POLICY = '/usr/sbin/policy-rc.d';

export const isDebianLike = (): boolean => existsSync('/usr/bin/apt-get') && existsSync('/usr/bin/dpkg');

async function apt(command: 'apt-get' | 'apt-cache', args: string[], cwd?: string): Promise<string> {
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive', LC_ALL: 'C', RUNLEVEL: '1' };
  const { stdout } = await run(command, args, { env, maxBuffer: MAX_BUFFER, ...(cwd ? { cwd } : {}) });
  return stdout;
}

/** With this file in place a package's service does not start: we start our own servers. */
async function withoutServices(install: () => Promise<unknown>): Promise<void> {
  const ours = !existsSync(POLICY);
  if (ours) {
    await writeFile(POLICY, '#!/bin/sh\nexit 101\n');
    await chmod(POLICY, 0o755);
  }
  try {
    await install();
  } finally {
    if (ours) await rm(POLICY, { force: true });
  }
  // It must not start at the next boot either. Without systemd this fails, harmlessly.
  await run('systemctl', ['disable', 'redis-server.service']).catch(() => {});
}

export async function installRedisAsRoot(): Promise<void> {
  await apt('apt-get', ['update', '-q']);
  const install = ['install', '-y', '-q', '--no-install-recommends', 'redis-server'];
  await withoutServices(() => apt('apt-get', install));
}

/** Separate package lists, for a machine whose lists are empty and which we may not fill. */
function ownLists(dir: string): string[] {
  const options = { 'Dir::State::lists': join(dir, 'lists'), 'Dir::Cache': join(dir, 'cache') };
  return Object.entries(options).flatMap(([name, value]) => ['-o', `${name}=${value}`]);
}

async function isInstalled(packageName: string): Promise<boolean> {
  try {
    const { stdout } = await run('dpkg-query', ['--status', packageName]);
    return stdout.includes('Status: install ok installed');
  } catch {
    return false;
  }
}

/** redis-server, redis-tools, and the libraries that they need and the machine lacks. */
async function packagesToUnpack(lists: string[]): Promise<string[]> {
  const names = ['redis-server', 'redis-tools'];
  const text = await apt('apt-cache', [...lists, 'depends', ...names]);
  const libraries = [...text.matchAll(/Depends: (lib[a-z0-9.+-]+)/g)].map((match) => match[1] as string);
  for (const library of new Set(libraries.filter((name) => name !== 'libc6'))) {
    if (!(await isInstalled(library))) names.push(library);
  }
  return names;
}

async function download(dir: string): Promise<void> {
  for (const lists of [[], ownLists(dir)]) {
    try {
      if (lists.length > 0) {
        await mkdir(join(dir, 'lists', 'partial'), { recursive: true });
        await mkdir(join(dir, 'cache', 'archives', 'partial'), { recursive: true });
        await apt('apt-get', [...lists, 'update', '-q']);
      }
      await apt('apt-get', [...lists, 'download', '-q', ...(await packagesToUnpack(lists))], dir);
      return;
    } catch (error) {
      if (lists.length > 0) throw error;
    }
  }
}

/** The folders with libraries: usr/lib/<triplet> and lib/<triplet>. */
async function libraryDirs(unpacked: string): Promise<string[]> {
  const dirs: string[] = [];
  for (const parent of [join(unpacked, 'usr', 'lib'), join(unpacked, 'lib')]) {
    if (!existsSync(parent)) continue;
    const names = (await readdir(parent)).filter((name) => name.includes('-linux-'));
    dirs.push(...names.map((name) => join(parent, name)));
  }
  return dirs;
}

const shellQuoted = (text: string) => `'${text.replaceAll("'", "'\\''")}'`;

/** A normal user's Redis: a line of shell that sets the library path. */
export const unpackedRedis = (home: string): string => join(home, 'redis', 'redis-server');

export async function unpackRedis(home: string): Promise<string> {
  const dir = join(home, 'redis');
  await rm(dir, { recursive: true, force: true });
  await mkdir(dir, { recursive: true, mode: 0o700 });
  await download(dir);
  const unpacked = join(dir, 'root');
  for (const file of await readdir(dir)) {
    if (file.endsWith('.deb')) await run('dpkg', ['-x', join(dir, file), unpacked]);
  }
  const libraries = shellQuoted((await libraryDirs(unpacked)).join(':'));
  const binary = shellQuoted(join(unpacked, 'usr', 'bin', 'redis-server'));
  const path = unpackedRedis(home);
  await writeFile(path, `#!/bin/sh\nLD_LIBRARY_PATH=${libraries} exec ${binary} "$@"\n`);
  await chmod(path, 0o755);
  return path;
}

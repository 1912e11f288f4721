// A network namespace with one cable to it, for a server that a drill cuts off from everything:
//
//      everything else ── wab-PID ═════════════ eth0 ── the server in whereabouts-PID
//                      198.18.x.1/30       198.18.x.2/30
//
// The cut takes down the namespace's end. The host keeps its route, so that no packet for the server leaves by another
// way. 198.18.0.0/15 is reserved for network tests (RFC 2544), so no real network is hidden.
//
// If we are killed, a shell waits until nothing runs in the namespace, and then removes it. If the shell is killed too,
// the next start removes it.
import { execFile } from 'node:child_process';
import { readdirSync, readlinkSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { isAlive, standGuard } from './server-process.js';

export interface NetworkNamespace {
  readonly name: string;
  /** The address of the host's end: all other nodes on this network listen there. */
  readonly hostAddress: string;
  /** Inside. */
  readonly address: string;
  remove(): Promise<void>;
}

const NAMES = /^whereabouts-(\d+)$/;
const FOLDER = '/var/run/netns';
const INNER_END = 'eth0';
const SUBNETS = 16_384;

const nameOf = (pid: number) => `whereabouts-${pid}`;
const hostEndOf = (pid: number) => `wab-${pid}`;

async function ip(...args: string[]): Promise<string> {
  return (await promisify(execFile)('ip', args)).stdout;
}

/** The command prefix that runs a command inside. It execs that command, so the pid stays the same. */
export const commandInside = (name: string): string[] => ['ip', 'netns', 'exec', name];

function namespaces(): string[] {
  try {
    return readdirSync(FOLDER);
  } catch {
    return []; // it never existed
  }
}

/** The named namespace in which a process runs; null: in none, or unknown. */
export function namespaceOf(pid: number): string | null {
  try {
    const inode = /\d+/.exec(readlinkSync(`/proc/${pid}/ns/net`))?.[0];
    return namespaces().find((name) => String(statSync(join(FOLDER, name)).ino) === inode) ?? null;
  } catch {
    return null;
  }
}

export async function setCable(name: string, to: 'up' | 'down'): Promise<void> {
  await ip('-n', name, 'link', 'set', INNER_END, to);
}

async function freeAddresses(): Promise<{ hostAddress: string; address: string }> {
  const taken = await ip('-o', '-4', 'address', 'show');
  for (let step = 0; step < SUBNETS; step++) {
    const first = ((process.pid + step) % SUBNETS) * 4;
    const addressAt = (i: number) => `198.18.${first >> 8}.${(first & 255) + i}`;
    const hostAddress = addressAt(1);
    if (!taken.includes(` ${hostAddress}/`)) return { hostAddress, address: addressAt(2) };
  }
  throw new Error('198.18.0.0/16 has no free addresses');
}

const GUARD = `read -r word; [ "$word" = done ] && exit 0
i=0; while [ -n "$(ip netns pids "$1")" ] && [ $i -lt 60 ]; do sleep 1; i=$((i+1)); done
ip link delete "$2"; ip netns delete "$1"`;

async function removeNamespace(pid: number): Promise<void> {
  // A namespace that was left half made has no cable. The cable goes first: a process that stays inside would hold it.
  await ip('link', 'delete', hostEndOf(pid)).catch(() => {});
  await ip('netns', 'delete', nameOf(pid));
}

/** One for each of our processes. */
export async function makeNetworkNamespace(): Promise<NetworkNamespace> {
  const { pid } = process;
  const [name, hostEnd] = [nameOf(pid), hostEndOf(pid)];
  const { hostAddress, address } = await freeAddresses();
  await ip('netns', 'add', name);
  const dismiss = standGuard(GUARD, [name, hostEnd]);
  const remove = async () => {
    dismiss();
    await removeNamespace(pid);
  };
  try {
    await ip('link', 'add', hostEnd, 'type', 'veth', 'peer', 'name', INNER_END, 'netns', name);
    await ip('address', 'add', `${hostAddress}/30`, 'dev', hostEnd);
    await ip('-n', name, 'address', 'add', `${address}/30`, 'dev', INNER_END);
    await ip('link', 'set', hostEnd, 'up');
    await setCable(name, 'up');
  } catch (error) {
    await remove();
    throw error;
  }
  return { name, hostAddress, address, remove };
}

/** Namespaces whose makers are gone and in which nothing runs; the pid of a maker may by now be ours. */
export async function removeStrayNamespaces(): Promise<void> {
  for (const name of namespaces()) {
    const pid = Number(NAMES.exec(name)?.[1]);
    const isStray = pid === process.pid || (pid > 0 && !isAlive(pid));
    if (!isStray) continue;
    try {
      if ((await ip('netns', 'pids', name)).trim() === '') await removeNamespace(pid);
    } catch {
      // Its guard was faster, or root made it and we are another user.
    }
  }
}

/** What is missing on this machine, with the way to repair it; null: nothing, it was tried. */
export async function whyNoNamespace(): Promise<string | null> {
  if (process.platform !== 'linux') return 'it needs Linux';
  const missing: string[] = [];
  if (process.getuid?.() !== 0) missing.push('root');
  if (!(await ip('-Version').catch(() => false))) missing.push('ip of iproute2 on the PATH');
  if (missing.length > 0) return `it needs ${missing.join(' and ')}`;
  try {
    await (await makeNetworkNamespace()).remove();
    return null;
  } catch (error) {
    return `it needs a network namespace, and none can be made: ${(error as { stderr: string }).stderr.trim()}`;
  }
}

// A bare echo in a separate process.

import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

const SERVER = fileURLToPath(new URL('./echo-server.js', import.meta.url));

export interface Echo {
  pid: number;
  port: number;
  stop(): void;
}

export async function startEcho(): Promise<Echo> {
  const child: ChildProcess = fork(SERVER, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  const [{ port }] = (await once(child, 'message')) as [{ port: number }];
  return { pid: child.pid as number, port, stop: () => child.disconnect() };
}

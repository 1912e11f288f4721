import { connect } from 'node:net';
import { parseAddress } from '../node-address.js';

const CONNECT_DEADLINE_MS = 200;

/** Whether nothing listens at this address: the only proof that a process is gone, and not merely slow. */
export function isRefused(address: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ ...parseAddress(address), timeout: CONNECT_DEADLINE_MS });
    const end = (refused: boolean) => {
      socket.destroy();
      resolve(refused);
    };
    socket.on('connect', () => end(false));
    socket.on('timeout', () => end(false));
    socket.on('error', (error: NodeJS.ErrnoException) => end(error.code === 'ECONNREFUSED'));
  });
}

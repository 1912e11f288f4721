// A bound on the sockets of an HTTP server, in all and for each remote address.
//
// A socket is busy while a request is under way on it, else idle: connected without a whole request yet, or kept
// alive. At the bound the socket that has been idle longest is closed in favour of the new one. So a new caller is always
// answered, however many sockets others hold open. An address at its own bound loses one of its own sockets.
// A socket with a streamed answer is not closed for others: the service itself bounds how many there are.

import type { Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { maxOpenFiles } from './open-files.js';
import { endWithProblem } from './raw-problem.js';

/** What an answer emits that goes on for as long as the caller wants. */
export const LASTING = Symbol('lasting');

export interface SocketBounds {
  inAll: number;
  perAddress: number;
}

/** `limit`: a socket was closed for a newcomer. `refused`: all were busy, and the newcomer heard 503. */
export type SocketLoss = 'limit' | 'address_limit' | 'refused';

// No request takes this long. A client that still has not read its answer is closed like an idle one.
const BUSY_DEADLINE_MS = 30_000;
// Files that a process opens besides these sockets: connections to Redis, the ops listener, the event loop.
const OTHER_FILES = 192;

/** As many of `wanted` as the open files of this process allow. */
export function socketsWithin(wanted: number, files = maxOpenFiles()): number {
  if (files === null) return wanted;
  return Math.min(wanted, Math.max(Math.floor(files / 2), files - OTHER_FILES));
}

/** Each set in the order in which the sockets became idle or busy. */
class Group {
  readonly idle = new Set<Socket>();
  readonly busy = new Set<Socket>();
  readonly lasting = new Set<Socket>();

  get size(): number {
    return this.idle.size + this.busy.size + this.lasting.size;
  }

  remove(socket: Socket): void {
    for (const set of [this.idle, this.busy, this.lasting]) set.delete(socket);
  }
}

interface Held {
  address: string;
  /** Requests in progress: several, if they are pipelined. */
  requests: number;
  busySinceMs: number;
}

interface Options {
  lost?(why: SocketLoss): void;
  /** Monotonic. */
  nowMs?(): number;
}

export class BoundedSockets {
  readonly #bounds: SocketBounds;
  readonly #lost: (why: SocketLoss) => void;
  readonly #nowMs: () => number;
  readonly #all = new Group();
  readonly #byAddress = new Map<string, Group>();
  readonly #held = new Map<Socket, Held>();

  constructor(server: Server, bounds: SocketBounds, options: Options = {}) {
    this.#bounds = bounds;
    this.#lost = options.lost ?? (() => {});
    this.#nowMs = options.nowMs ?? (() => performance.now());
    server.on('connection', (socket: Socket) => this.#opened(socket));
    // Before the answer, which may say at once that it lasts.
    server.prependListener('request', ({ socket }: { socket: Socket }, response: ServerResponse) => {
      this.#began(socket);
      response.once(LASTING, () => this.#move(socket, 'lasting'));
      response.once('close', () => this.#ended(socket));
    });
  }

  get size(): number {
    return this.#all.size;
  }

  closeIdle(): void {
    for (const socket of this.#all.idle) socket.destroy();
  }

  #opened(socket: Socket): void {
    const address = socket.remoteAddress ?? '';
    const group = this.#byAddress.get(address) ?? new Group();
    this.#byAddress.set(address, group);
    this.#held.set(socket, { address, requests: 0, busySinceMs: 0 });
    for (const one of [group, this.#all]) one.idle.add(socket);
    socket.once('close', () => this.#closed(socket, address));
    if (group.size > this.#bounds.perAddress) this.#makeRoom(group, socket, 'address_limit');
    else if (this.#all.size > this.#bounds.inAll) this.#makeRoom(this.#all, socket, 'limit');
  }

  #makeRoom(group: Group, newcomer: Socket, why: SocketLoss): void {
    const [idle] = group.idle;
    const [busy] = group.busy;
    const isStuck = this.#nowMs() - (this.#heldOf(busy)?.busySinceMs ?? Infinity) > BUSY_DEADLINE_MS;
    const victim = idle !== newcomer ? idle : isStuck ? busy : undefined;
    if (victim) {
      // At once, as its `close` comes later and the next newcomer must not choose it again.
      this.#forget(victim);
      victim.destroy();
      this.#lost(why);
      return;
    }
    this.#lost('refused');
    endWithProblem(newcomer, {
      status: 503,
      code: 'overloaded',
      detail: 'too many connections, all of them busy',
      headers: { 'retry-after': '1' },
    });
  }

  #began(socket: Socket): void {
    const held = this.#heldOf(socket);
    if (!held || held.requests++ > 0) return;
    held.busySinceMs = this.#nowMs();
    this.#move(socket, 'busy');
  }

  #ended(socket: Socket): void {
    const held = this.#heldOf(socket);
    if (!held || --held.requests > 0) return;
    this.#move(socket, 'idle');
  }

  #move(socket: Socket, to: 'idle' | 'busy' | 'lasting'): void {
    const held = this.#heldOf(socket);
    if (!held) return;
    for (const group of [this.#all, this.#byAddress.get(held.address)]) {
      group?.remove(socket);
      group?.[to].add(socket);
    }
  }

  #closed(socket: Socket, address: string): void {
    this.#forget(socket);
    if (this.#byAddress.get(address)?.size === 0) this.#byAddress.delete(address);
  }

  #forget(socket: Socket): void {
    const held = this.#held.get(socket);
    if (!held) return;
    this.#held.delete(socket);
    this.#all.remove(socket);
    this.#byAddress.get(held.address)?.remove(socket);
  }

  #heldOf(socket: Socket | undefined): Held | undefined {
    return socket && this.#held.get(socket);
  }
}

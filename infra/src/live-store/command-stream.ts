// Sends commands and reads replies on the socket of an ioredis connection. ioredis connects, authenticates and reconnects;
// once the connection is ready, the socket is ours. For each command ioredis makes an object, a promise and several
// closures, which is more than half of what a poll of a partition costs.
//
// Redis answers in order, so calls wait in the order in which they were sent. A socket that is silent while an answer is
// due is closed. All calls that wait for an answer then fail, because their outcome is unknown.

import type { Socket } from 'node:net';
import { type Argument, encodeCommands } from './command-bytes.js';
import { ReplyDecoder, ReplyError, type ReplyValue } from './reply-decoder.js';

/** One command or several, answered together. */
export interface SentCall {
  commands: readonly (readonly Argument[])[];
  /** Each follows an ASK redirection. */
  asking: boolean;
  /** With the replies of all, or with the first error. Called once. */
  answered(replies: readonly ReplyValue[]): void;
  refused(error: ReplyError): void;
  /** Without an answer. */
  failed(error: Error): void;
}

interface Waiting {
  call: SentCall;
  replies: ReplyValue[];
  /** Replies that came, those of ASKING among them. */
  came: number;
  due: number;
  isRefused: boolean;
}

const ASKING: readonly Argument[] = ['ASKING'];
/** Answered calls at the head of the queue are dropped so many at a time. */
const DROP_AT = 1024;

export class CommandStream {
  readonly #socket: Socket;
  readonly #silenceMs: number;
  #waiting: Waiting[] = [];
  #head = 0;
  #silence: NodeJS.Timeout | undefined;

  /** `socket`: authenticated, with no answer due. Its other data listeners are removed. */
  constructor(socket: Socket, silenceMs: number) {
    this.#socket = socket;
    this.#silenceMs = silenceMs;
    const decoder = new ReplyDecoder((reply) => this.#reply(reply));
    const others = socket.listeners('data');
    socket.on('data', (chunk: Buffer) => {
      try {
        decoder.write(chunk);
      } catch (error) {
        socket.destroy(error as Error);
      }
      this.#heard();
    });
    for (const other of others) socket.removeListener('data', other as () => void);
    socket.on('close', () => this.#closed());
  }

  /** All in one write. */
  send(calls: readonly SentCall[]): void {
    if (!this.#socket.writable) {
      for (const call of calls) call.failed(new Error('the connection is closing'));
      return;
    }
    const commands: (readonly Argument[])[] = [];
    for (const call of calls) {
      for (const command of call.commands) {
        if (call.asking) commands.push(ASKING);
        commands.push(command);
      }
      const due = call.commands.length * (call.asking ? 2 : 1);
      this.#waiting.push({ call, replies: [], came: 0, due, isRefused: false });
    }
    this.#socket.write(encodeCommands(commands));
    this.#silence ??= setTimeout(() => this.#silent(), this.#silenceMs);
  }

  #reply(reply: ReplyValue): void {
    const waiting = this.#waiting[this.#head];
    if (waiting === undefined) throw new Error('a reply that nobody asked for');
    const { call, replies } = waiting;
    const isOfAsking = call.asking && waiting.came % 2 === 0;
    if (++waiting.came === waiting.due) this.#next();
    if (isOfAsking || waiting.isRefused) return;
    if (reply instanceof ReplyError) {
      waiting.isRefused = true;
      call.refused(reply);
      return;
    }
    replies.push(reply);
    if (waiting.came === waiting.due) call.answered(replies);
  }

  #next(): void {
    this.#head++;
    if (this.#head < this.#waiting.length && this.#head < DROP_AT) return;
    this.#waiting.splice(0, this.#head);
    this.#head = 0;
  }

  #heard(): void {
    if (this.#waiting.length > 0) {
      this.#silence?.refresh();
      return;
    }
    clearTimeout(this.#silence);
    this.#silence = undefined;
  }

  #silent(): void {
    this.#socket.destroy(new Error(`no answer in ${this.#silenceMs} ms`));
  }

  #closed(): void {
    clearTimeout(this.#silence);
    const waiting = this.#waiting.slice(this.#head);
    this.#waiting = [];
    this.#head = 0;
    for (const { call, isRefused } of waiting) {
      if (!isRefused) call.failed(new Error('the connection was closed'));
    }
  }
}

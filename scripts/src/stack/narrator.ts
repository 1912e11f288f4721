// The output of a command that takes a while: lines for people, with one that is refreshed in place; or JSON lines for
// programs.
//
//  A text that ends in ` ...` begins a step: at a terminal its line shows how long it takes, until the next text comes.
import { stripVTControlCharacters } from 'node:util';
import { columnsOf, cut, style } from '../terminal.js';

export interface Narrator {
  say(text: string, event?: string, details?: object): void;
  /** The live line; if the output is no terminal it is an ordinary line, printed now and then. */
  status(text: string, details: object): void;
  /** The current step is done. */
  settle(): void;
}

const QUIET_STATUS_MS = 10_000;
const TICK_MS = 1_000;
const STEP_END = ' ...';

function forPrograms(output: NodeJS.WriteStream): Narrator {
  const write = (line: object) => output.write(`${JSON.stringify(line)}\n`);
  return {
    say: (text, event = 'message', details = {}) =>
      write({ event, text: stripVTControlCharacters(text), ...details }),
    status: (_text, details) => write({ event: 'status', ...details }),
    settle: () => {},
  };
}

class ForPeople implements Narrator {
  readonly #output: NodeJS.WriteStream;
  #isLineOpen = false;
  #lastStatusAt = Number.NEGATIVE_INFINITY;
  #step: { text: string; sinceMs: number; ticking: NodeJS.Timeout } | null = null;

  constructor(output: NodeJS.WriteStream) {
    this.#output = output;
  }

  say(text: string): void {
    this.settle();
    this.#clear();
    if (this.#isLive && text.endsWith(STEP_END) && !text.includes('\n')) this.#begin(text);
    else this.#output.write(`${text}\n`);
  }

  status(text: string): void {
    this.settle();
    const now = performance.now();
    if (this.#isLive) {
      this.#show(text);
    } else if (now - this.#lastStatusAt >= QUIET_STATUS_MS) {
      this.#output.write(`${text}\n`);
      this.#lastStatusAt = now;
    }
  }

  settle(): void {
    if (this.#step === null) return;
    const { text, sinceMs, ticking } = this.#step;
    clearInterval(ticking);
    this.#step = null;
    const tookMs = performance.now() - sinceMs;
    this.#clear();
    this.#output.write(
      `${text}${tookMs >= TICK_MS ? style('dim', ` ${Math.round(tookMs / 1000)} s`) : ''}\n`,
    );
  }

  get #isLive(): boolean {
    return this.#output.isTTY === true;
  }

  #begin(text: string): void {
    const sinceMs = performance.now();
    const tick = () => this.#show(`${text} ${Math.round((performance.now() - sinceMs) / 1000)} s`);
    // The timer does not keep the process alive.
    this.#step = { text, sinceMs, ticking: setInterval(tick, TICK_MS).unref() };
    this.#show(text);
  }

  /** A line that wraps could not be taken back. */
  #show(text: string): void {
    this.#clear();
    this.#output.write(cut(text, (columnsOf(this.#output) ?? 80) - 1));
    this.#isLineOpen = true;
  }

  #clear(): void {
    if (this.#isLineOpen) this.#output.write('\r\u001b[2K');
    this.#isLineOpen = false;
  }
}

export const createNarrator = (json: boolean, output: NodeJS.WriteStream = process.stdout): Narrator =>
  json ? forPrograms(output) : new ForPeople(output);

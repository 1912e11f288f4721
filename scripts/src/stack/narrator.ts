// All that `npm start` says: lines for people, with one that is refreshed in place; or JSON lines for programs.
import { style } from '../terminal.js';

export interface Narrator {
  say(text: string, event?: string, details?: object): void;
  /** The live line; where stdout is no terminal it is an ordinary one, now and then. */
  status(text: string, details: object): void;
}

const QUIET_STATUS_MS = 10_000;

function forPrograms(): Narrator {
  const write = (line: object) => process.stdout.write(`${JSON.stringify(line)}\n`);
  return {
    say: (text, event = 'message', details = {}) => write({ event, text, ...details }),
    status: (_text, details) => write({ event: 'status', ...details }),
  };
}

function forPeople(): Narrator {
  const live = process.stdout.isTTY === true;
  let shown = false;
  let lastAt = Number.NEGATIVE_INFINITY;
  const clear = () => {
    if (shown) process.stdout.write('\r\x1b[2K');
    shown = false;
  };
  return {
    say: (text) => {
      clear();
      process.stdout.write(`${text}\n`);
    },
    status: (text) => {
      const now = performance.now();
      if (live) {
        clear();
        // A line that wraps could not be taken back.
        process.stdout.write(style('dim', text.slice(0, (process.stdout.columns || 120) - 1)));
        shown = true;
      } else if (now - lastAt >= QUIET_STATUS_MS) {
        process.stdout.write(`${text}\n`);
        lastAt = now;
      }
    },
  };
}

export const createNarrator = (json: boolean): Narrator => (json ? forPrograms() : forPeople());

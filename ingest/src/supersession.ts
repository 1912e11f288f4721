// How processes notify each other of drivers: which connection holds a driver now, and that one left without a report.
// Each process has its own channel. A message is a hint and may be lost. So each process reads the sessions themselves
// after it has subscribed, and twice a minute.
import type { LogStore } from '@whereabouts/infra/live-store/log-store';
import { StoreError } from '@whereabouts/infra/live-store/store-error';

/** To the process with `connectionId`: `holder`, perhaps itself, holds the driver under that session. */
export interface News {
  driverId: string;
  connectionId: string;
  holder: string;
  session: number;
}

interface Listener {
  heard(news: News): void;
  /** The connection that took the driver from here left without a report. */
  left(driverId: string): void;
  /** There is something to send. */
  queued(): void;
  /** Something may have been told that was not heard. */
  missed(): void;
}

type Line = ['held', string, string, string, number] | ['left', string];

const MAX_LINES = 100;
/** For one process; above this, the other process has to find it by its own reads. */
const MAX_QUEUED = 20_000;

/** Connections are named `<process>-<count>`. */
export const processOf = (connectionId: string): string =>
  connectionId.slice(0, Math.max(0, connectionId.lastIndexOf('-')));

export class Supersession {
  readonly #store: LogStore;
  readonly #processId: string;
  readonly #listener: Listener;
  readonly #subscription: { close(): void };
  /** By process. */
  readonly #queued = new Map<string, Line[]>();

  constructor(store: LogStore, processId: string, listener: Listener) {
    this.#store = store;
    this.#processId = processId;
    this.#listener = listener;
    this.#subscription = store.subscribe(processId, {
      onSubscribed: () => listener.missed(),
      onMessage: (text) => this.#hear(text),
    });
  }

  isElsewhere(connectionId: string): boolean {
    return processOf(connectionId) !== this.#processId;
  }

  tell(news: News): void {
    const { driverId, connectionId, holder, session } = news;
    if (this.isElsewhere(connectionId))
      this.#queue(connectionId, ['held', driverId, connectionId, holder, session]);
    else this.#listener.heard(news);
  }

  left(driverId: string, tookFrom: string): void {
    this.#queue(tookFrom, ['left', driverId]);
  }

  /** What was told since the last round, one message for each process. */
  send(): void {
    for (const [processId, lines] of this.#queued)
      for (let at = 0; at < lines.length; at += MAX_LINES)
        void this.#publish(processId, lines.slice(at, at + MAX_LINES));
    this.#queued.clear();
  }

  close(): void {
    this.#subscription.close();
  }

  #queue(connectionId: string, line: Line): void {
    const processId = processOf(connectionId);
    const lines = this.#queued.get(processId) ?? [];
    if (lines.length < MAX_QUEUED) lines.push(line);
    this.#queued.set(processId, lines);
    this.#listener.queued();
  }

  async #publish(processId: string, lines: readonly Line[]): Promise<void> {
    try {
      await this.#store.publish(processId, JSON.stringify(lines));
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
    }
  }

  #hear(text: string): void {
    for (const line of linesOf(text)) {
      if (line[0] === 'left') this.#listener.left(line[1]);
      else {
        const [, driverId, connectionId, holder, session] = line;
        this.#listener.heard({ driverId, connectionId, holder, session });
      }
    }
  }
}

/** Whatever is not understood is passed over: another version may have sent it. */
function linesOf(text: string): Line[] {
  let lines: unknown;
  try {
    lines = JSON.parse(text);
  } catch {
    return [];
  }
  return Array.isArray(lines) ? lines.filter(isLine) : [];
}

function isLine(line: unknown): line is Line {
  if (!Array.isArray(line)) return false;
  const [kind, driverId, connectionId, holder, session] = line;
  if (typeof driverId !== 'string') return false;
  if (kind === 'left') return true;
  const isNamed = typeof connectionId === 'string' && typeof holder === 'string';
  return kind === 'held' && isNamed && Number.isSafeInteger(session);
}

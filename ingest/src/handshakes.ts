// Sockets that are not a WebSocket yet: how many there are in total and of each address. Pure, except for the clock.
//
// uWebSockets.js reports that a socket opened and that one closed, but not which one. It closes sockets that are silent
// for about ten seconds. So we keep the times at which the sockets of an address opened. A socket that sends a request
// removes the newest time, because honest clients are quick. The others are forgotten when their time is over.

/** uWebSockets.js closes a socket without a request after this time (10 s, checked every 4 s). */
const LIFE_MS = 14_000;

export interface HandshakeLimits {
  /** Sockets that are no WebSocket. */
  readonly inAll: number;
  readonly ofAddress: number;
}

export class Handshakes {
  readonly #limits: HandshakeLimits;
  readonly #openedAtMs = new Map<string, number[]>();
  #inAll = 0;

  constructor(limits: HandshakeLimits) {
    this.#limits = limits;
  }

  /** Sockets that are open and no WebSocket. */
  get size(): number {
    return this.#inAll;
  }

  /** A socket opened. Returns whether it may stay. */
  opened(address: string, nowMs: number): boolean {
    this.#inAll++;
    const opened = this.#young(address, nowMs);
    if (this.#inAll > this.#limits.inAll || opened.length >= this.#limits.ofAddress) return false;
    opened.push(nowMs);
    this.#openedAtMs.set(address, opened);
    return true;
  }

  /** A socket of this address has asked for something. */
  asked(address: string): void {
    const opened = this.#openedAtMs.get(address);
    opened?.pop();
    if (opened?.length === 0) this.#openedAtMs.delete(address);
  }

  /** A socket is a WebSocket now, or closed. */
  left(): void {
    this.#inAll--;
  }

  /** About once a second. */
  forgetOld(nowMs: number): void {
    for (const address of this.#openedAtMs.keys()) {
      if (this.#young(address, nowMs).length === 0) this.#openedAtMs.delete(address);
    }
  }

  #young(address: string, nowMs: number): number[] {
    const opened = this.#openedAtMs.get(address) ?? [];
    const firstYoung = opened.findIndex((atMs) => nowMs - atMs < LIFE_MS);
    if (firstYoung !== 0) opened.splice(0, firstYoung < 0 ? opened.length : firstYoung);
    return opened;
  }
}

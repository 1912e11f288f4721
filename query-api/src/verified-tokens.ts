// Tokens that were verified a moment ago. A caller sends the same one with each question, and verifying it costs a
// quarter of a question. A key that the issuer withdraws stays accepted for KEEP_MS longer.

import type { VerifiedToken } from '@whereabouts/infra/service/tokens';

const KEEP_MS = 30_000;
/** Of up to 8 KiB each. */
const MAX_TOKENS = 1_000;

/** The caller. */
export interface Caller {
  subject: string;
  tokenExpiresAtMs: number;
}

interface Known {
  caller: Caller;
  untilMs: number;
}

export class VerifiedTokens {
  readonly #verify: (token: string) => Promise<VerifiedToken>;
  readonly #nowMs: () => number;
  /** The oldest entry comes first. */
  readonly #known = new Map<string, Known>();

  constructor(verify: (token: string) => Promise<VerifiedToken>, nowMs: () => number = Date.now) {
    this.#verify = verify;
    this.#nowMs = nowMs;
  }

  known(token: string): Caller | undefined {
    const known = this.#known.get(token);
    return known && this.#nowMs() < known.untilMs ? known.caller : undefined;
  }

  async verify(token: string): Promise<Caller> {
    const { subject, expiresAtMs } = await this.#verify(token);
    this.#known.delete(token);
    const caller = { subject, tokenExpiresAtMs: expiresAtMs };
    this.#known.set(token, { caller, untilMs: Math.min(expiresAtMs, this.#nowMs() + KEEP_MS) });
    const [oldest] = this.#known.keys();
    if (oldest !== undefined && this.#known.size > MAX_TOKENS) this.#known.delete(oldest);
    return caller;
  }
}

// The token issuer's published keys (a JSON Web Key Set), fetched in the background and used while the issuer is down.
//
//   none ──fetched──▶ usable ──nothing fetched for maxAgeMs──▶ too old
//                       ▲────────────────fetched──────────────────┘
//
// Always: one fetch at a time, and none sooner than cooldownMs after the last one ended, whatever the reason. So a
// stranger who invents key ids cannot make us flood the issuer. A failed fetch changes nothing. A successful one replaces
// all keys, so a withdrawn key is refused from then on.
import { backoffMs } from './backoff.js';
import { withDeadline } from './deadline.js';
import type { Logger } from './log.js';
import type { Metrics } from './metrics.js';
import { type IssuerKey, readKeySet } from './public-keys.js';

export interface FetchPace {
  /** Between two fetches, as long as they succeed. */
  refreshMs: number;
  /** The least between two fetches. */
  cooldownMs: number;
  /** After failed fetches the wait doubles from the cooldown up to this. */
  maxRetryMs: number;
  fetchTimeoutMs: number;
  /** A token waits so long for a fetch: within the 2 s that an upgrade may take. */
  waitMs: number;
}

const DEFAULT_PACE: FetchPace = {
  refreshMs: 300_000,
  cooldownMs: 2000,
  maxRetryMs: 60_000,
  fetchTimeoutMs: 10_000,
  waitMs: 1500,
};
// Ten RSA keys with their certificates have about 25 KiB.
const MAX_KEY_SET_BYTES = 256 * 1024;
const COMPLAIN_EVERY_MS = 60_000;

export class IssuerKeys {
  readonly #url: URL;
  readonly #maxAgeMs: number;
  readonly #log: Logger | undefined;
  readonly #pace: FetchPace;
  readonly #startedAtMs = performance.now();
  #keys: readonly IssuerKey[] = [];
  #fetchedAtMs: number | null = null;
  #fetching: Promise<void> | null = null;
  #notBeforeMs = 0;
  #timer: NodeJS.Timeout | undefined;
  #timerAtMs = Number.POSITIVE_INFINITY;
  #failures = 0; // since the last success
  #lastError = '';
  #complaint: { atMs: number; isFatal: boolean } | null = null;
  #isClosed = false;
  readonly #fetches = { fetched: 0, failed: 0 };

  /** Begins to fetch at once. Keys are used for `maxAgeMs` after they were fetched last. */
  constructor(url: URL, maxAgeMs: number, parts: { log?: Logger; pace?: Partial<FetchPace> } = {}) {
    this.#url = url;
    this.#maxAgeMs = maxAgeMs;
    this.#log = parts.log;
    const pace = { ...DEFAULT_PACE, ...parts.pace };
    this.#pace = { ...pace, refreshMs: Math.min(pace.refreshMs, maxAgeMs / 2) };
    this.#fetching = this.#fetch();
  }

  /** Null if they were never fetched, or too long ago. */
  current(): readonly IssuerKey[] | null {
    return this.#fetchedAtMs !== null && this.ageMs <= this.#maxAgeMs ? this.#keys : null;
  }

  /** Since the last good fetch; since the start if there was none. */
  get ageMs(): number {
    return performance.now() - (this.#fetchedAtMs ?? this.#startedAtMs);
  }

  /** Fetches again as soon as allowed. Resolves after that fetch, or after a short deadline. */
  async refreshed(): Promise<void> {
    if (this.#fetching === null) {
      if (performance.now() < this.#notBeforeMs) {
        this.#planFetch(this.#notBeforeMs);
        return;
      }
      this.#beginFetch();
    }
    if (this.#fetching !== null) await withDeadline(this.#fetching, this.#pace.waitMs, () => {});
  }

  check(): { name: string; ok: boolean; detail: string } {
    const known = this.#fetchedAtMs === null ? 'never fetched' : `${this.#keys.length} keys`;
    const when = this.#fetchedAtMs === null ? '' : `, fetched ${Math.round(this.ageMs / 1000)} s ago`;
    const trouble =
      this.#failures === 0 ? '' : `; ${this.#failures} fetches failed, the last: ${this.#lastError}`;
    return {
      name: 'token keys',
      ok: this.current() !== null && this.#failures === 0,
      detail: known + when + trouble,
    };
  }

  register(metrics: Metrics): void {
    const keys = this;
    metrics.gauge('token_keys', {
      help: "The token issuer's keys that are in use; 0 where none could be fetched for too long",
      aggregator: 'min',
      collect() {
        this.set(keys.current()?.length ?? 0);
      },
    });
    metrics.gauge('token_keys_age_seconds', {
      help: "Since the token issuer's keys were fetched last, or since the start where they never were",
      aggregator: 'max',
      collect() {
        this.set(keys.ageMs / 1000);
      },
    });
    metrics.counter('token_key_fetches_total', {
      help: "Fetches of the token issuer's keys, by outcome",
      labelNames: ['outcome'],
      collect() {
        this.reset();
        for (const [outcome, count] of Object.entries(keys.#fetches)) this.inc({ outcome }, count);
      },
    });
  }

  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#timer);
  }

  #beginFetch(): void {
    clearTimeout(this.#timer);
    this.#timerAtMs = Number.POSITIVE_INFINITY;
    this.#fetching = this.#fetch();
  }

  async #fetch(): Promise<void> {
    let nextInMs: number;
    try {
      this.#keys = readKeySet(await fetchText(this.#url, this.#pace.fetchTimeoutMs));
      this.#succeeded();
      nextInMs = this.#pace.refreshMs * (0.9 + 0.1 * Math.random());
    } catch (error) {
      this.#failed(error);
      const { cooldownMs, maxRetryMs } = this.#pace;
      nextInMs = backoffMs(this.#failures, { firstMs: 2 * cooldownMs, limitMs: maxRetryMs });
    }
    this.#fetching = null;
    const nowMs = performance.now();
    this.#notBeforeMs = nowMs + this.#pace.cooldownMs;
    this.#planFetch(Math.max(nowMs + nextInMs, this.#notBeforeMs));
  }

  #succeeded(): void {
    if (this.#fetchedAtMs === null || this.#failures > 0) {
      this.#log?.info({ keys: this.#keys.length }, "the token issuer's keys are fetched");
    }
    this.#fetchedAtMs = performance.now();
    this.#failures = 0;
    this.#complaint = null;
    this.#fetches.fetched++;
  }

  #failed(error: unknown): void {
    this.#failures++;
    this.#fetches.failed++;
    this.#lastError = messageOf(error);
    const atMs = performance.now();
    const isFatal = this.current() === null;
    const last = this.#complaint;
    if (last !== null && last.isFatal === isFatal && atMs - last.atMs < COMPLAIN_EVERY_MS) return;
    this.#complaint = { atMs, isFatal };
    const facts = {
      url: this.#url.href,
      reason: this.#lastError,
      failures: this.#failures,
      age_s: Math.round(this.ageMs / 1000),
      max_age_s: this.#maxAgeMs / 1000,
    };
    if (this.current() === null)
      this.#log?.error(facts, "without the token issuer's keys nobody can be admitted");
    else
      this.#log?.warn(facts, "the token issuer's keys cannot be fetched: going on with those that are known");
  }

  /** Never later than planned before. */
  #planFetch(atMs: number): void {
    if (this.#isClosed || this.#fetching !== null || atMs >= this.#timerAtMs) return;
    clearTimeout(this.#timer);
    this.#timerAtMs = atMs;
    this.#timer = setTimeout(() => this.#beginFetch(), Math.ceil(atMs - performance.now()));
    this.#timer.unref();
  }
}

async function fetchText(url: URL, timeoutMs: number): Promise<string> {
  const response = await fetch(url, {
    // Another address than the one that was checked at the start could be plain http.
    redirect: 'manual',
    signal: AbortSignal.timeout(timeoutMs),
    headers: { accept: 'application/jwk-set+json, application/json' },
  });
  if (response.status !== 200) {
    await response.body?.cancel();
    throw new Error(`the issuer answers with HTTP ${response.status}`);
  }
  const pieces: Uint8Array[] = [];
  let bytes = 0;
  for await (const piece of response.body ?? []) {
    bytes += piece.byteLength;
    // Leaving the loop cancels the rest.
    if (bytes > MAX_KEY_SET_BYTES) throw new Error(`the key set has more than ${MAX_KEY_SET_BYTES} bytes`);
    pieces.push(piece);
  }
  return Buffer.concat(pieces).toString('utf8');
}

function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  // `fetch failed` says why in its cause, and an attempt at several addresses only by its code.
  const { cause } = error as { cause?: NodeJS.ErrnoException };
  const why = cause instanceof Error ? cause.message || cause.code : undefined;
  return why === undefined ? error.message : `${error.message}: ${why}`;
}

// The way to each partition: what is under way, when it last answered, when it may be tried again.

interface Lane {
  underWay: number;
  answeredAtMs: number;
  notBeforeMs: number;
  backoffMs: number;
}

const MIN_BACKOFF_MS = 25;
const MAX_BACKOFF_MS = 250;

export class Lanes {
  readonly #lanes: Lane[];

  constructor(partitions: number) {
    this.#lanes = Array.from({ length: partitions }, () => ({
      underWay: 0,
      answeredAtMs: Number.NEGATIVE_INFINITY,
      notBeforeMs: 0,
      backoffMs: MIN_BACKOFF_MS,
    }));
  }

  all(): number[] {
    return [...this.#lanes.keys()];
  }

  busy(): boolean {
    return this.#lanes.some((lane) => lane.underWay > 0);
  }

  isFree(partition: number, nowMs: number): boolean {
    const lane = this.#lane(partition);
    return lane.underWay === 0 && nowMs >= lane.notBeforeMs;
  }

  /** Those that have not answered since. */
  quiet(sinceMs: number): number[] {
    return this.all().filter((partition) => this.#lane(partition).answeredAtMs < sinceMs);
  }

  answeredAtMs(partition: number): number {
    return this.#lane(partition).answeredAtMs;
  }

  enter(partition: number): void {
    this.#lane(partition).underWay++;
  }

  leave(partition: number): void {
    this.#lane(partition).underWay--;
  }

  succeeded(partition: number, nowMs: number): void {
    const lane = this.#lane(partition);
    lane.answeredAtMs = nowMs;
    lane.backoffMs = MIN_BACKOFF_MS;
  }

  failed(partition: number, nowMs: number, maxBackoffMs = MAX_BACKOFF_MS): void {
    const lane = this.#lane(partition);
    lane.notBeforeMs = nowMs + lane.backoffMs * (0.5 + Math.random() / 2);
    lane.backoffMs = Math.min(2 * lane.backoffMs, maxBackoffMs);
  }

  #lane(partition: number): Lane {
    return this.#lanes[partition] as Lane;
  }
}

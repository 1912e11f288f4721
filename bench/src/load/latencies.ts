// Latencies in 1 ms steps up to 10 s: cheap to add to, cheap to send to another process.

const STEPS = 10_000;

export class Latencies {
  readonly counts = new Uint32Array(STEPS + 1);

  add(ms: number): void {
    const step = Math.min(STEPS, Math.max(0, Math.round(ms)));
    this.counts[step] = (this.counts[step] as number) + 1;
  }

  merge(counts: ArrayLike<number>): void {
    for (const [step, mine] of this.counts.entries()) this.counts[step] = mine + (counts[step] ?? 0);
  }

  clear(): void {
    this.counts.fill(0);
  }

  /** In ms; null if nothing was measured. */
  quantile(q: number): number | null {
    const total = this.counts.reduce((sum, count) => sum + count, 0);
    if (total === 0) return null;
    let seen = 0;
    for (let ms = 0; ms < this.counts.length; ms++) {
      seen += this.counts[ms] as number;
      if (seen >= q * total) return ms;
    }
    return STEPS;
  }
}

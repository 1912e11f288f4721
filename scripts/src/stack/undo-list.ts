// What has to be undone at the end, the last step first. Each step is tried, even if others failed.

interface Step {
  what: string;
  undo(): Promise<unknown>;
  /** At once and silently: there is no time. */
  force?: () => void;
}

export class UndoList {
  #steps: Step[] = [];

  add(step: Step): void {
    this.#steps.push(step);
  }

  async undoAll(say: (text: string, event: string) => void): Promise<boolean> {
    let clean = true;
    for (let step = this.#steps.pop(); step; step = this.#steps.pop()) {
      const startedAt = performance.now();
      try {
        await step.undo();
        const tookS = (performance.now() - startedAt) / 1000;
        say(`  ${step.what}${tookS >= 1 ? ` (${tookS.toFixed(1)} s)` : ''}`, 'stopped');
      } catch (error) {
        clean = false;
        say(`  ${step.what}: ${(error as Error).message}`, 'stop_failed');
      }
    }
    return clean;
  }

  forceAll(): void {
    for (const step of this.#steps) step.force?.();
  }
}

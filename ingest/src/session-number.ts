// The number under which a connection records: Redis time at its start, and once more if the store knows a greater
// one at its first report (another process's clock, or a reconnect within a millisecond). Pure.
//
//   fresh ──▶ renumbered ──▶ proven        superseded while fresh: take the next number and record again
//     └────────────────────────▲           superseded later: a newer connection speaks for the driver
import type { Position } from '@whereabouts/infra/position';

type Standing = 'fresh' | 'renumbered' | 'proven';

const MAY_FOLLOW: Record<Standing, readonly Standing[]> = {
  fresh: ['renumbered', 'proven'],
  renumbered: ['proven'],
  proven: [],
};

export class SessionNumber {
  #value: number;
  #standing: Standing = 'fresh';
  /** The newest report, until the store has taken one of this session. */
  #unproven: Position | null = null;

  constructor(value: number) {
    this.#value = value;
  }

  get value(): number {
    return this.#value;
  }

  submitted(position: Position): void {
    if (this.#standing !== 'proven' && !position.checkpoint) this.#unproven = position;
  }

  /** The store took a report under it. */
  prove(): void {
    if (this.#standing === 'proven') return;
    this.#stand('proven');
    this.#unproven = null;
  }

  /** Whether the session goes on, now perhaps under another number. */
  outrank(storedSession: number): 'as_before' | 'renumbered' | 'superseded' {
    if (storedSession < this.#value) return 'as_before';
    if (this.#standing !== 'fresh') return 'superseded';
    this.#stand('renumbered');
    this.#value = storedSession + 1;
    return 'renumbered';
  }

  /** What goes out under the present number for a report that was under way with an older one; null: nothing. */
  again(position: Position): Position | null {
    if (position.session === this.#value) return null;
    if (position.checkpoint) return { ...position, session: this.#value };
    // The newest, in place of all that were under way: under the new number an older one would win against it.
    const newest = this.#unproven ?? position;
    if (newest.session === this.#value) return null;
    this.#unproven = { ...newest, session: this.#value };
    return this.#unproven;
  }

  #stand(next: Standing): void {
    if (!MAY_FOLLOW[this.#standing].includes(next)) {
      throw new Error(`a session number that is ${this.#standing} cannot become ${next}`);
    }
    this.#standing = next;
  }
}

// A lane for each node: only so many questions are under way there at once, the others wait their turn. Callers take
// turns, so that one who asks much waits behind itself, and not everyone behind it.
//
// Redis works on one call after the other. A batch that put thousands of questions before it at once would hold up
// the writes behind them past their time-out, and the node would be taken for a dead one.

/** 16 of the dearest questions (some 1 ms each) hold up a write for less than one tick of ingest. */
const LANE_WIDTH = 16;

interface Lane {
  inside: number;
  /** By caller; the one whose turn is next first. */
  waiting: Map<string, (() => void)[]>;
}

export class Lanes {
  readonly #width: number;
  readonly #lanes = new Map<string, Lane>();

  constructor(width = LANE_WIDTH) {
    this.#width = width;
  }

  /** Resolves when it is this caller's turn; who enters has to leave. */
  async enter(name: string, caller: string): Promise<() => void> {
    const lane = this.#lane(name);
    if (lane.inside < this.#width) lane.inside++;
    // Whoever leaves hands the place over, so `inside` stays.
    else await new Promise<void>((resolve) => wait(lane, caller, resolve));
    return () => this.#leave(name, lane);
  }

  #lane(name: string): Lane {
    let lane = this.#lanes.get(name);
    if (!lane) {
      lane = { inside: 0, waiting: new Map() };
      this.#lanes.set(name, lane);
    }
    return lane;
  }

  #leave(name: string, lane: Lane): void {
    const next = takeNext(lane);
    if (next) {
      next();
      return;
    }
    lane.inside--;
    // Nodes come and go.
    if (lane.inside === 0) this.#lanes.delete(name);
  }
}

function wait({ waiting }: Lane, caller: string, turn: () => void): void {
  const turns = waiting.get(caller);
  if (turns) turns.push(turn);
  else waiting.set(caller, [turn]);
}

function takeNext({ waiting }: Lane): (() => void) | undefined {
  for (const [caller, turns] of waiting) {
    const turn = turns.shift();
    // Behind the other callers, where it has more.
    waiting.delete(caller);
    if (turns.length > 0) waiting.set(caller, turns);
    return turn;
  }
  return undefined;
}

// How densely each partition is populated, learnt from its own answers, so that the next search there begins with
// a circle that just about holds enough drivers. A wrong guess costs a doubling of the circle, never a wrong answer.

type Asked = 'available' | 'busy';

// Nothing learnt yet: a few streets.
const FIRST_RADIUS_M = 500;
const MIN_RADIUS_M = 50;
// Drivers stand in streets and queues, not evenly: aim for more than needed.
const ROOM = 2;
// The newest answer counts for half: a city fills and empties over hours, yet one odd street must not decide.
const WEIGHT = 0.5;

export class Density {
  /** Drivers per square metre, two numbers for each partition; 0 where nothing is known. */
  readonly #perM2: Float64Array;

  constructor(partitions: number) {
    this.#perM2 = new Float64Array(partitions * 2);
  }

  learn(partition: number, status: Asked, drivers: number, withinM: number): void {
    if (drivers === 0 || withinM < 1) return;
    const at = index(partition, status);
    const seen = drivers / (Math.PI * withinM * withinM);
    const before = this.#perM2[at] as number;
    this.#perM2[at] = before === 0 ? seen : before + (seen - before) * WEIGHT;
  }

  startRadiusM(partition: number, status: Asked, count: number, atMostM: number): number {
    const perM2 = this.#perM2[index(partition, status)] as number;
    const guessM = perM2 === 0 ? FIRST_RADIUS_M : Math.sqrt((count * ROOM) / (Math.PI * perM2));
    return Math.min(atMostM, Math.max(MIN_RADIUS_M, guessM));
  }
}

function index(partition: number, status: Asked): number {
  return partition * 2 + (status === 'busy' ? 1 : 0);
}

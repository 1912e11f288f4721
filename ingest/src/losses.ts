// What partitions lost of the reports that this process acknowledged. A driver whose newest report was lost waits to be
// written again. If a newer one is waiting or in flight already, that one replaces it.

import type { LogStore } from '@whereabouts/infra/live-store/log-store';
import type { Logger } from '@whereabouts/infra/service/log';
import type { Drivers } from './drivers.js';
import type { Partition, TermChange } from './partition.js';

export interface LossesOptions {
  drivers: Drivers;
  partitions: readonly Partition[];
  store: Pick<LogStore, 'nodeOf' | 'nowMs'>;
  log: Logger;
}

export class Losses {
  readonly #o: LossesOptions;
  /** Drivers whose newest acknowledged report was lost. */
  lost = 0;
  /** Of those, whose report was written again. */
  healed = 0;
  /** Of those, the ones that a newer report replaced. */
  overtaken = 0;
  /** Told of each, how old it was when its loss was found. */
  onLost: (ageMs: number) => void = () => {};

  constructor(o: LossesOptions) {
    this.#o = o;
  }

  /** Looks through all rows, as terms change only when a node fails or a slot moves. */
  termChanged(partition: Partition, { state, above }: TermChange): void {
    const { drivers, log, store } = this.#o;
    const nowMs = store.nowMs();
    const lostBefore = this.lost;
    let oldestMs = 0;
    for (let slot = 0; above !== null && slot < drivers.end; slot++) {
      const isHere = drivers.ackedIn[slot] === partition.number;
      if (!isHere || (drivers.ackedRevisions[slot] as number) <= above) continue;
      const ageMs = Math.max(0, nowMs - (drivers.ackedTimesMs[slot] as number));
      oldestMs = Math.max(oldestMs, ageMs);
      this.onLost(ageMs);
      this.#lose(slot, partition);
    }
    const lost = this.lost - lostBefore;
    const { term, previous } = state;
    const node = store.nodeOf(partition.number);
    const figures = { partition: partition.number, node, lost, oldestMs, term, previous };
    log[lost > 0 ? 'warn' : 'info'](figures, 'a new term began');
  }

  /** What was lost of this row stands in a log again. */
  written(slot: number): void {
    this.healed++;
    this.#noLongerLost(slot);
  }

  /** The driver has reported since. */
  replaced(slot: number): void {
    this.overtaken++;
    this.#noLongerLost(slot);
  }

  #lose(slot: number, partition: Partition): void {
    const { drivers } = this.#o;
    const isNewest = drivers.isAcknowledged(slot);
    this.lost++;
    drivers.ackedIn[slot] = -1;
    if (!isNewest) {
      this.overtaken++;
      return;
    }
    // The row may wait already: then it was lost before, or its session has another number.
    if (drivers.waitsIn[slot] === -1) partition.add(slot);
    if (drivers.lostIn[slot] !== -1) return;
    drivers.lostIn[slot] = partition.number;
    partition.countLost(1);
  }

  #noLongerLost(slot: number): void {
    const { drivers, partitions } = this.#o;
    const partition = partitions[drivers.lostIn[slot] as number] as Partition;
    drivers.lostIn[slot] = -1;
    partition.countLost(-1);
  }
}

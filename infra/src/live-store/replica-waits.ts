// Whether the replicas of one node have what was written there. WAIT blocks its connection until they do, or for 100 ms.
// So it has a separate connection, with one WAIT in flight at a time, and all writes that are answered meanwhile share the
// next one. A batch waits for at most two: the one in flight and its own.
//
// WAIT counts from the last write of its own connection. The writes came by another one, so an empty write precedes each
// WAIT: replicas apply writes in order, so a replica that has the empty write has everything before it.

import type { Redis } from 'ioredis';
import type { Argument } from './command-bytes.js';

/** Replicas that take longer are out of step. */
const WAIT_MS = 100;
/** The WAIT under way and its own. Redis itself may be late: it looks at the time only ten times a second when idle. */
const DEADLINE_MS = 2 * WAIT_MS;

/** Writes that share a WAIT. */
interface Group {
  replicas: number;
  emptyWrite: readonly Argument[];
  replicasInStep: Promise<number>;
  settle(replicasInStep: number): void;
}

export class ReplicaWaits {
  readonly #redis: Redis;
  #next: Group | null = null;
  #isUnderWay = false;

  constructor(redis: Redis) {
    this.#redis = redis;
  }

  /** How many replicas have all that the node has answered so far; 0 where that cannot be known. Never rejects. */
  replicasInStep(replicas: number, emptyWrite: readonly Argument[]): Promise<number> {
    if (this.#redis.status !== 'ready') return Promise.resolve(0);
    if (this.#next === null) {
      this.#next = newGroup(emptyWrite);
      if (!this.#isUnderWay) setImmediate(() => this.#send());
    }
    this.#next.replicas = Math.max(this.#next.replicas, replicas);
    return this.#next.replicasInStep;
  }

  close(): void {
    this.#redis.disconnect();
  }

  #send(): void {
    const group = this.#next;
    if (group === null || this.#isUnderWay) return;
    this.#next = null;
    this.#isUnderWay = true;
    const [command, ...args] = group.emptyWrite;
    this.#redis.stream?.cork();
    const write = this.#redis.call(String(command), ...args);
    const wait = this.#redis.wait(group.replicas, WAIT_MS);
    this.#redis.stream?.uncork();
    Promise.all([wait, write])
      .then(
        ([count]) => group.settle(count),
        () => group.settle(0),
      )
      .finally(() => {
        this.#isUnderWay = false;
        this.#send();
      });
  }
}

function newGroup(emptyWrite: readonly Argument[]): Group {
  let resolve: (replicasInStep: number) => void = () => {};
  const replicasInStep = new Promise<number>((settle) => {
    resolve = settle;
  });
  const timer = setTimeout(() => resolve(0), DEADLINE_MS);
  const settle = (count: number) => {
    clearTimeout(timer);
    resolve(count);
  };
  return { replicas: 0, emptyWrite, replicasInStep, settle };
}

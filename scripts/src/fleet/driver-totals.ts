// Sums over many driver clients, including closed ones.
import type { DriverClient } from '@whereabouts/client/driver-client';

export interface DriverTotals {
  connected: number;
  sent: number;
  /** Of those, sent again. */
  resent: number;
  acknowledged: number;
  /** Replaced by a newer report before they could go out. */
  thinned: number;
  checkpoints: number;
  refused: Record<string, number>;
}

export class TotalsOfClients {
  readonly #clients = new Set<DriverClient>();
  readonly #closed: DriverTotals = {
    connected: 0,
    sent: 0,
    resent: 0,
    acknowledged: 0,
    thinned: 0,
    checkpoints: 0,
    refused: {},
  };

  add(client: DriverClient): void {
    this.#clients.add(client);
  }

  /** Keeps its totals, and drops the client. */
  remove(client: DriverClient): void {
    if (this.#clients.delete(client)) addTo(this.#closed, client);
  }

  get clients(): ReadonlySet<DriverClient> {
    return this.#clients;
  }

  now(): DriverTotals {
    const sum = { ...this.#closed, refused: { ...this.#closed.refused } };
    for (const client of this.#clients) {
      addTo(sum, client);
      if (client.state === 'open') sum.connected++;
    }
    return sum;
  }
}

function addTo(sum: DriverTotals, { stats }: DriverClient): void {
  sum.sent += stats.sent;
  sum.resent += stats.resent;
  sum.acknowledged += stats.acked;
  sum.thinned += stats.dropped;
  sum.checkpoints += stats.persisted;
  for (const [code, count] of Object.entries(stats.nacked)) {
    sum.refused[code] = (sum.refused[code] ?? 0) + (count ?? 0);
  }
}

/** Says goodbye for all of them; those that wait for a checkpoint get a moment to finish. */
export async function closeAll(totals: TotalsOfClients, checkpointDeadlineMs: number): Promise<void> {
  const clients = [...totals.clients];
  const until = performance.now() + checkpointDeadlineMs;
  while (performance.now() < until && clients.some((client) => client.stats.waitingCheckpoints > 0)) {
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  await Promise.all(clients.map((client) => client.close()));
  for (const client of clients) totals.remove(client);
}

// Many drivers' sockets of one test, with one truth.
import assert from 'node:assert/strict';
import { waitFor } from '@whereabouts/infra/local/server-process';
import { driverTokens } from '../driver-tokens.js';
import type { Answer, Dispatcher } from '../outside/dispatcher.js';
import { DriverSocket } from '../outside/driver-socket.js';
import { Truth } from '../outside/truth.js';
import type { Stack } from '../stack-file.js';

/** Handshakes at once: each costs a signature here and its verification in the service. */
const AT_ONCE = 64;
/** As many as one question may name. */
const IDS_AT_ONCE = 100;

export class FleetSockets {
  readonly truth = new Truth();
  readonly byId = new Map<string, DriverSocket>();
  readonly #stack: Stack;
  readonly #tokenFor: (driverId: string) => Promise<string>;

  constructor(stack: Stack) {
    this.#stack = stack;
    this.#tokenFor = driverTokens(stack);
  }

  async connect(driverIds: Iterable<string>): Promise<void> {
    const left = [...driverIds];
    const work = async () => {
      for (let id = left.pop(); id !== undefined; id = left.pop()) await this.connectOne(id);
    };
    await Promise.all(Array.from({ length: AT_ONCE }, work));
  }

  async connectOne(driverId: string): Promise<DriverSocket> {
    const driver = await DriverSocket.connect({
      url: this.#stack.ingest.url,
      driverId,
      token: await this.#tokenFor(driverId),
      acknowledged: this.truth.acknowledged,
      closed: (code, isExpected) => isExpected || console.log(`${driverId}: closed with ${code}`),
    });
    this.byId.set(driverId, driver);
    return driver;
  }

  driver(driverId: string): DriverSocket {
    const driver = this.byId.get(driverId);
    assert.ok(driver, driverId);
    return driver;
  }

  /** Every report is acknowledged or refused. */
  async untilSettled(deadlineMs = 20_000): Promise<void> {
    const open = () => [...this.byId.values()].filter(({ unsettled }) => unsettled.length > 0);
    try {
      await waitFor('every report is settled', deadlineMs, () => open().length === 0 || undefined);
    } catch (cause) {
      const some = open()
        .slice(0, 5)
        .map(
          (driver) => `${driver.driverId} (closed: ${driver.closeCode}): ${JSON.stringify(driver.unsettled)}`,
        );
      throw new Error(`no answer to reports of ${open().length} drivers:\n${some.join('\n')}`, {
        cause,
      });
    }
  }

  /** Every report is settled, and query-api has seen all acknowledged ones: its next answer rests on them. */
  async untilVisible(dispatcher: Dispatcher, deadlineMs = 20_000): Promise<void> {
    await this.untilSettled();
    const left = [...this.truth.newest.values()].map(({ driverId }) => driverId);
    await waitFor('query-api has seen every report', deadlineMs, async () => {
      const some = left.slice(-IDS_AT_ONCE);
      const { drivers } = (await dispatcher.get<Answer>(`/v1/drivers?ids=${some.join()}`)).body;
      const seen = drivers.filter(({ driver_id, recorded_at }) => {
        return Date.parse(recorded_at) >= (this.truth.newest.get(driver_id)?.recordedAtMs ?? 0);
      });
      if (seen.length === some.length) left.length -= some.length;
      return left.length === 0 || undefined;
    });
  }

  /** Refusals by code. */
  refusals(): Record<string, number> {
    const counts: Record<string, number> = {};
    for (const { nacks } of this.byId.values()) {
      for (const { code } of nacks) counts[code] = (counts[code] ?? 0) + 1;
    }
    return counts;
  }

  async close(): Promise<void> {
    await Promise.all([...this.byId.values()].map((driver) => driver.close()));
  }
}

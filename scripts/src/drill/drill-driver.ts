// One driver of a drill: it stays in its partition, reports, and records what it receives in the drill's book.
//
//  It comes back by itself when its connection breaks, after the waits of the product's own client.
import type { Durability } from '@whereabouts/client/protocol';
import { afterClose, DEFAULT_BACKOFF, reconnectDelayMs } from '@whereabouts/client/reconnect';
import { blockBounds, cellFromString } from '@whereabouts/infra/geohash';
import type { PartitionMap } from '@whereabouts/infra/partition-map';
import { type Acknowledged, DriverSocket, type Sent } from '../outside/driver-socket.js';

export interface Spot {
  partition: number;
  lat: number;
  lon: number;
}

/** The middle of a partition's first cell (or, for the first partition, its last). */
export function spotOf(map: PartitionMap, partition: number): Spot {
  const first = map.boundaries[0];
  const cell =
    partition > 0 || first === undefined
      ? cellFromString(map.range(partition).from)
      : cellFromString(first) - 1;
  const { minLat, maxLat, minLon, maxLon } = blockBounds(cell, 1);
  return { partition, lat: (minLat + maxLat) / 2, lon: (minLon + maxLon) / 2 };
}

export interface DriverBook {
  acknowledged(driver: DrillDriver, report: Acknowledged): void;
  persisted(driver: DrillDriver, seq: number): void;
  refused(driver: DrillDriver, code: string): void;
  connected(driver: DrillDriver): void;
}

/** Degrees: it moves a few metres, so that each report is another position. */
const STEP_DEG = 0.00002;
const STEPS = 20;
const HANDSHAKE_TIMEOUT_MS = 5_000;

export class DrillDriver {
  readonly driverId: string;
  readonly spot: Spot;
  /** What the last `hello` promised. */
  durability: Durability = 'cache';
  #socket: DriverSocket | undefined;
  #lastRecordedAtMs = 0;
  #clockOffsetMs = 0;
  #attempt = 0;
  #closing = false;
  readonly #url: string;
  readonly #token: string;
  readonly #book: DriverBook;

  constructor(url: string, token: string, driverId: string, spot: Spot, book: DriverBook) {
    this.#url = url;
    this.#token = token;
    this.driverId = driverId;
    this.spot = spot;
    this.#book = book;
  }

  get isOpen(): boolean {
    return this.#socket?.isOpen === true;
  }

  /** Reports without an answer so far; those of a broken connection will never get one. */
  get unsettled(): readonly Sent[] {
    return this.isOpen ? (this.#socket?.unsettled ?? []) : [];
  }

  connect(): void {
    this.#socket = new DriverSocket({
      url: this.#url,
      driverId: this.driverId,
      token: this.#token,
      handshakeTimeoutMs: HANDSHAKE_TIMEOUT_MS,
      hello: ({ server_time_ms, durability }) => {
        this.#attempt = 0;
        this.durability = durability;
        this.#clockOffsetMs = Math.min(0, server_time_ms - Date.now());
        this.#book.connected(this);
      },
      acknowledged: (report) => this.#book.acknowledged(this, report),
      persisted: (seq) => this.#book.persisted(this, seq),
      nacked: ({ code }) => this.#book.refused(this, code),
      closed: (code) => this.#comeBackAfter(code),
    });
  }

  /** Returns its seq; null while there is no connection. */
  report(checkpointId?: string): number | null {
    if (this.#socket === undefined || !this.isOpen) return null;
    const step = (this.#socket.lastSeq % STEPS) * STEP_DEG;
    this.#lastRecordedAtMs = Math.max(this.#lastRecordedAtMs + 1, Date.now() + this.#clockOffsetMs);
    return this.#socket.send({
      recorded_at_ms: this.#lastRecordedAtMs,
      lat: this.spot.lat + step,
      lon: this.spot.lon + step,
      ...(checkpointId !== undefined && { checkpoint: true, checkpoint_id: checkpointId }),
    });
  }

  close(): void {
    this.#closing = true;
    void this.#socket?.drop();
  }

  #comeBackAfter(code: number): void {
    if (this.#closing) return;
    const delayMs = reconnectDelayMs(afterClose(code), this.#attempt++, DEFAULT_BACKOFF, Math.random);
    setTimeout(() => this.#closing || this.connect(), delayMs);
  }
}

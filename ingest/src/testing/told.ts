// A driver of the recorder's tests: a connection that puts reports into its row and writes down what it is told.
import type { Durability, NackCode } from '@whereabouts/client/protocol';
import { type Position, validatePosition } from '@whereabouts/infra/position';
import type { Origin } from '../drivers.js';
import type { ReportSink } from '../edge.js';
import { Report } from '../report.js';

export interface Place {
  lat: number;
  lon: number;
}

export const LONDON: Place = { lat: 51.5, lon: -0.12 };
const REPORT = new Report();
let lastDriver = 0;
let lastSession = Date.now();

export class Told implements Origin {
  readonly driverId: string;
  readonly generation: number;
  readonly slot: number;
  session: number;
  readonly lines: string[] = [];
  readonly #sink: ReportSink;

  constructor(sink: ReportSink, driverId = `driver-${++lastDriver}`) {
    this.#sink = sink;
    this.driverId = driverId;
    this.generation = sink.drivers.newGeneration();
    this.session = ++lastSession;
    this.slot = sink.drivers.slotOf(driverId, performance.now());
    sink.drivers.origins[this.slot] = this;
  }

  get last(): string | undefined {
    return this.lines.at(-1);
  }

  position(seq: number, o: object = {}): Position {
    const report = { seq, recordedAtMs: Date.now() + seq, ...LONDON, ...o };
    return validatePosition(report, this.driverId, this.session);
  }

  report(seq: number, o: object = {}): Position {
    const position = this.position(seq, o);
    REPORT.readPosition(position);
    this.#sink.drivers.put(this.slot, this, REPORT, performance.now());
    this.#sink.submit(this.slot);
    return position;
  }

  /** Returns whether it is no other checkpoint of the same id. */
  checkpoint(seq: number, checkpointId: string, o: object = {}): boolean {
    return this.#sink.keep(this.position(seq, { ...o, checkpoint: true, checkpointId }), this);
  }

  accepted(seq: number, _recordedAtMs: number, _waitedMs: number, durability: Durability): void {
    this.lines.push(durability === 'cache' ? `accepted ${seq}` : `replicated ${seq}`);
  }

  refused(seq: number, _recordedAtMs: number, code: NackCode): void {
    this.lines.push(`${code} ${seq}`);
  }

  checkpointKept(seq: number): void {
    this.lines.push(`kept ${seq}`);
  }

  checkpointRefused(seq: number, code: NackCode): void {
    this.lines.push(`${code} ${seq}`);
  }

  checkpointPersisted(seq: number): void {
    this.lines.push(`persisted ${seq}`);
  }
}

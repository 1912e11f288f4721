// Decodes Redis's replies to plain commands on a partition's keys. infra/redis/log.lua states the layouts.

import { BODY_BYTES, type EntryId, parseEntryId } from '../record.js';

export interface LogEntry {
  id: EntryId;
  batch: Buffer;
}

export interface WaitingCheckpoint {
  field: string;
  driverId: string;
  checkpointId: string;
  body: Buffer;
}

/** Another checkpoint of its id was in Postgres already. It is kept until its driver has been told. */
export interface ConflictingCheckpoint {
  field: string;
  sinceMs: number;
}

const CONFLICT = 'conflict';

export function pageOf(reply: readonly unknown[]): { cursor: string | null; removed: number } {
  const [cursor, removed] = reply as [Buffer, number];
  return { cursor: String(cursor) === '0' ? null : String(cursor), removed };
}

export const nodeTimeMs = ([seconds, micros]: [Buffer, Buffer]): number =>
  Number(seconds) * 1000 + Math.floor(Number(micros) / 1000);

/** The fields of an entry are a list of names and values. */
export type RawEntry = [id: Buffer, fields: Buffer[]];

export const TIME_FIELD = Buffer.from('t');
const BATCH_FIELD = Buffer.from('b');

export function fieldOf(fields: readonly Buffer[], name: Buffer): Buffer | undefined {
  for (let at = 0; at + 1 < fields.length; at += 2) if (fields[at]?.equals(name)) return fields[at + 1];
  return undefined;
}

export const decodeEntries = (entries: unknown): LogEntry[] => (entries as RawEntry[]).map(decodeEntry);

export function decodeEntry([id, fields]: RawEntry): LogEntry {
  return {
    id: parseEntryId(id.toString('latin1')) ?? { term: 0, revision: 0 },
    batch: fieldOf(fields, BATCH_FIELD) ?? Buffer.alloc(0),
  };
}

/** If the count cannot be read, some may wait. */
export function waitingOf(count: Buffer | null): number {
  const text = count === null ? '0' : count.toString('latin1');
  return /^\d{1,15}$/.test(text) ? Number(text) : 1;
}

export const isConflict = (value: Buffer): boolean =>
  value.toString('latin1', 0, CONFLICT.length) === CONFLICT;

export function decodeCheckpoints(list: readonly Buffer[]) {
  const waiting: WaitingCheckpoint[] = [];
  const conflicts: ConflictingCheckpoint[] = [];
  let unreadable = 0;
  for (let i = 0; i + 1 < list.length; i += 2) {
    const field = (list[i] as Buffer).toString('latin1');
    const value = list[i + 1] as Buffer;
    const [driverId, checkpointId, more] = field.split(':');
    if (checkpointId === undefined) continue; // a count
    const sinceMs = Number(value.toString('latin1', CONFLICT.length));
    if (isConflict(value) && Number.isSafeInteger(sinceMs)) conflicts.push({ field, sinceMs });
    else if (more === undefined && value.length === BODY_BYTES)
      waiting.push({ field, driverId: driverId as string, checkpointId, body: value });
    else unreadable++;
  }
  return { waiting, conflicts, unreadable };
}

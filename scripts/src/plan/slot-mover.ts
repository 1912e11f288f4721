// Carries out moves of slots on running nodes.
//
//   new owner: IMPORTING ─▶ owner: MIGRATING and MIGRATE, in one go ─▶ NODE: new owner, owner, all the others
//
//  Always: the keys of a slot are on one node as a whole. MIGRATE takes all of them at once, in the same transaction
// that redirects callers, so no caller sees half of them; a call in between is answered ASK, TRYAGAIN or MOVED, and its
// caller retries. The new owner learns first: if the old one let go before, the slot would have no owner. Nothing is
// undone: running the same again finishes a slot that was begun.

import type { adminConnection } from '@whereabouts/infra/local/redis-node';
import { parseAddress } from '@whereabouts/infra/node-address';
import { type Move, slotsInOrder } from './contiguous-moves.js';

/** Longer than any slot takes; the node does nothing else meanwhile. */
const MIGRATE_TIMEOUT_MS = 2_000;
/** Slots without keys, in one write for each step. */
const EMPTY_AT_ONCE = 128;
const MAX_KEYS = 1_000;

export interface Master {
  address: string;
  id: string;
  connection: ReturnType<typeof adminConnection>;
}

export interface MoverOptions {
  masters: readonly Master[];
  /** Of the user `default`. */
  password: string;
  /** Slots that have keys or may get them at any moment. */
  used: ReadonlySet<number>;
  progress(moved: number): void;
}

export async function carryOut(o: MoverOptions, move: Move): Promise<void> {
  const from = masterAt(o, move.from);
  const to = masterAt(o, move.to);
  let batch: number[] = [];
  const flush = async () => {
    if (batch.length > 0) await handOver(o, from, to, batch);
    batch = [];
  };
  for (const slot of slotsInOrder(move)) {
    batch.push(slot);
    if (o.used.has(slot) || batch.length === EMPTY_AT_ONCE) await flush();
  }
  await flush();
}

function masterAt(o: MoverOptions, address: string): Master {
  const master = o.masters.find((each) => each.address === address);
  if (master === undefined) throw new Error(`${address} is no master of this cluster`);
  return master;
}

async function handOver(o: MoverOptions, from: Master, to: Master, slots: readonly number[]): Promise<void> {
  await setSlots(to, slots, 'IMPORTING', from.id);
  const empty = slots.filter((slot) => !o.used.has(slot));
  await setSlots(from, empty, 'MIGRATING', to.id);
  for (const slot of slots) await migrate(o, from, to, slot, o.used.has(slot));
  for (const master of [to, from, ...o.masters.filter((each) => each !== to && each !== from)]) {
    await setSlots(master, slots, 'NODE', to.id);
  }
  o.progress(slots.length);
}

async function setSlots(at: Master, slots: readonly number[], state: string, id: string): Promise<void> {
  if (slots.length === 0) return;
  const pipeline = at.connection.pipeline();
  for (const slot of slots) pipeline.cluster('SETSLOT', slot, state as 'NODE', id);
  for (const [error] of (await pipeline.exec()) ?? []) if (error) throw error;
}

/** Once the slot migrates no new key can appear in it, so a second look finds what came before that. */
async function migrate(
  o: MoverOptions,
  from: Master,
  to: Master,
  slot: number,
  isUsed: boolean,
): Promise<void> {
  let isMigrating = !isUsed;
  for (;;) {
    const keys = (await from.connection.cluster('GETKEYSINSLOT', slot, MAX_KEYS)) as string[];
    if (keys.length === 0 && isMigrating) return;
    const steps = from.connection.multi();
    if (!isMigrating) steps.cluster('SETSLOT', slot, 'MIGRATING', to.id);
    if (keys.length > 0) steps.call('MIGRATE', ...migration(to.address, o.password, keys));
    for (const [error] of (await steps.exec()) ?? []) if (error) throw error;
    isMigrating = true;
  }
}

function migration(address: string, password: string, keys: readonly string[]): string[] {
  const { host, port } = parseAddress(address);
  const auth = ['AUTH2', 'default', password];
  const place = [host, String(port), '', '0', String(MIGRATE_TIMEOUT_MS)];
  return [...place, ...auth, 'KEYS', ...keys];
}

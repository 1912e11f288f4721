// What can go wrong between a service and a partition, by what the caller can do about it.
//
// Only our own functions can say that a call does not fit the partition (MAPMISMATCH, LEASED, TERMCHANGED). Every
// other error is an outage: a setting of the operator, a command that is not allowed, a version of Redis that we do
// not know. It is worth trying again.

export type StoreErrorCode =
  | 'region_unavailable' // no answer, or from a node that may not write now; whether it was written is unclear
  | 'overloaded' // the node's memory is full; nothing was written
  | 'not_ready' // functions missing, slots moving, no permission; nothing was written
  | 'refused' // an error reply that we do not know: of the node, of the partition, or of one record in the batch
  | 'map_mismatch' // the partition was written under another partition map
  | 'term_changed' // begin again
  | 'place_changed' // a scan goes on at another process: begin again
  | 'leased'; // another flusher works on it

const RETRYABLE: readonly StoreErrorCode[] = ['region_unavailable', 'overloaded', 'not_ready', 'refused'];

export class StoreError extends Error {
  readonly code: StoreErrorCode;
  readonly retryable: boolean;
  /** The node as a whole cannot serve us now, whatever the call. A probe shows when it can again. */
  readonly ofNode: boolean;

  constructor(code: StoreErrorCode, message: string, o: { cause?: unknown; ofNode?: boolean } = {}) {
    super(message, o.cause === undefined ? undefined : { cause: o.cause });
    this.name = 'StoreError';
    this.code = code;
    this.retryable = RETRYABLE.includes(code);
    this.ofNode = o.ofNode ?? false;
  }
}

/** By the first word of the reply. */
const CODES: Record<string, StoreErrorCode> = {
  MAPMISMATCH: 'map_mismatch',
  LEASED: 'leased',
  TERMCHANGED: 'term_changed',
  OOM: 'overloaded',
  MOVED: 'region_unavailable',
  ASK: 'not_ready',
  TRYAGAIN: 'not_ready',
};

/** The same, of a node that answers, but lacks something that every call needs. */
const CODES_OF_NODE: Record<string, StoreErrorCode> = {
  BUSY: 'region_unavailable',
  CLUSTERDOWN: 'region_unavailable',
  LOADING: 'region_unavailable',
  MASTERDOWN: 'region_unavailable',
  MISCONF: 'region_unavailable', // it cannot write to its disk
  NOREPLICAS: 'region_unavailable', // min-replicas-to-write
  READONLY: 'region_unavailable',
  NOAUTH: 'not_ready',
  NOPERM: 'not_ready',
  WRONGPASS: 'not_ready',
};

export const isFunctionMissing = (message: string): boolean => message.includes('Function not found');

/** Of an error reply of Redis. */
export function storeErrorOfReply(message: string): StoreError {
  const word = message.slice(0, message.search(/ |$/));
  const ofNode = CODES_OF_NODE[word] ?? (isFunctionMissing(message) ? 'not_ready' : undefined);
  if (ofNode) return new StoreError(ofNode, message, { ofNode: true });
  return new StoreError(CODES[word] ?? 'refused', message);
}

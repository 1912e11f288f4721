// What can go wrong between a service and a partition, by what the caller can do about it.

export type StoreErrorCode =
  | 'region_unavailable' // no answer, or from a node that may not write now; whether it was written is unclear
  | 'overloaded' // the node's memory is full; nothing was written
  | 'not_ready' // functions missing, slots moving, no permission; nothing was written
  | 'map_mismatch' // the partition was written under another partition map
  | 'bad_batch' // the node refused the call itself: a smaller one shows the culprit
  | 'reign_changed' // begin again
  | 'leased'; // another flusher works on it

const RETRYABLE: readonly StoreErrorCode[] = ['region_unavailable', 'overloaded', 'not_ready'];

export class StoreError extends Error {
  readonly code: StoreErrorCode;
  readonly retryable: boolean;

  constructor(code: StoreErrorCode, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = 'StoreError';
    this.code = code;
    this.retryable = RETRYABLE.includes(code);
  }
}

const CODE_OF_REPLY: Record<string, StoreErrorCode> = {
  MAPMISMATCH: 'map_mismatch',
  LEASED: 'leased',
  REIGNCHANGED: 'reign_changed',
  OOM: 'overloaded',
  MISCONF: 'overloaded',
  BUSY: 'region_unavailable',
  CLUSTERDOWN: 'region_unavailable',
  LOADING: 'region_unavailable',
  MASTERDOWN: 'region_unavailable',
  MOVED: 'region_unavailable',
  READONLY: 'region_unavailable',
  ASK: 'not_ready',
  NOAUTH: 'not_ready',
  NOPERM: 'not_ready',
  TRYAGAIN: 'not_ready',
  WRONGPASS: 'not_ready',
};

/** Of an error reply of Redis. What is unknown counts as refused for its content, so that it is not sent for ever. */
export function storeErrorOfReply(message: string): StoreError {
  const word = message.slice(0, message.search(/ |$/));
  const code = CODE_OF_REPLY[word];
  if (code) return new StoreError(code, message);
  if (message.includes('Function not found')) return new StoreError('not_ready', message);
  return new StoreError('bad_batch', message);
}

// A batch that the store refuses is sent in ever smaller parts, so that it takes what it can. The large ones come first:
// with few culprits most of the batch is soon written. Then the small ones: with a culprit in each part, some are found all
// the same, and the next round gets further. Not so in an outage, which says nothing of the batch.

import { StoreError } from '@whereabouts/infra/live-store/store-error';

/** Enough to find three culprits among 512, and no storm where the store refuses all of it: at most 65 calls fail. */
const MAX_REFUSALS = 32;
const SMALL_FIRST_AFTER = MAX_REFUSALS / 2;

export interface Leftover<T> {
  part: readonly T[];
  error: StoreError;
}

export interface Sent<T> {
  leftovers: Leftover<T>[];
  isAnyTaken: boolean;
}

export const isRefusal = (error: StoreError): boolean =>
  error.code === 'refused' || error.code === 'bad_batch';

/** `send` rejects with StoreError. */
export async function sendInParts<T>(
  batch: readonly T[],
  send: (part: readonly T[]) => Promise<void>,
): Promise<Sent<T>> {
  const parts = [batch];
  const leftovers: Leftover<T>[] = [];
  let refusals = 0;
  let isAnyTaken = false;
  const next = () => (refusals < SMALL_FIRST_AFTER ? parts.shift() : parts.pop());
  for (let part = next(); part !== undefined; part = next()) {
    try {
      await send(part);
      isAnyTaken = true;
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      if (!isRefusal(error)) {
        leftovers.push(...[part, ...parts].map((left) => ({ part: left, error })));
        break;
      }
      const half = part.length >> 1;
      if (half > 0 && refusals++ < MAX_REFUSALS) parts.push(part.slice(0, half), part.slice(half));
      else leftovers.push({ part, error });
    }
  }
  return { leftovers, isAnyTaken };
}

// How long to stay away after a connection has ended: the table of close codes in PROTOCOL.md.

const BASE_MS = 500;
const MAX_MS = 30_000;
const HANDOVER_MS = 1000;
/** After `overloaded` and `too fast` the waits begin with up to 4 s. */
const OVERLOAD_DOUBLINGS = 3;

/** Full jitter; null: do not reconnect. A new token is made for each connection, so 4401 needs nothing else. */
export function reconnectDelayMs(closeCode, failures) {
  if (closeCode === 4403 || closeCode === 4409) return null;
  const draining = closeCode === 1001 || closeCode === 1012;
  if (draining && failures === 0) return Math.random() * HANDOVER_MS;
  const overloaded = closeCode === 1013 || closeCode === 4429;
  const doublings = overloaded ? Math.max(failures, OVERLOAD_DOUBLINGS) : failures;
  return Math.random() * Math.min(BASE_MS * 2 ** doublings, MAX_MS);
}

// Limits of the live store. Those of the Lua library are templated into its text.

/** Drivers that one call of `compact` folds, at most. Twice as many would be all that one HSET takes. */
export const MAX_FOLDED = 2_000;
/** Records of one entry. */
export const MAX_ENTRY_RECORDS = 512;
export const MAX_CHECKPOINTS_PER_DRIVER = 10;
/** No flusher takes a longer lease. */
export const MAX_LEASE_MS = 60_000;
/** What was loaded from Postgres is kept until it is that old. */
export const KEEP_RESTORED_MS = 7 * 24 * 3_600_000;

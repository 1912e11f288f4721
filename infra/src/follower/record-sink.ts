// Where a follower puts what it reads. The newest record of a driver wins, by (session, recorded-at), and the later id
// of two equal ones. So a sink may get any record again, late or out of order.

import type { EntryId } from '../record.js';

export interface RecordSink {
  /** The bytes may change when it returns. False: this record cannot be read. */
  take(
    partition: number,
    driverId: string,
    bytes: Buffer,
    bodyAt: number,
    bodyEnd: number,
    id: EntryId,
  ): boolean;
  /** What came under this term above this revision is not in the store any more; it may come again. */
  lost(partition: number, term: number, above: number): void;
  /** The whole partition will be given again. Until a record comes, it is unknown whether the store still has it. */
  readAnew(partition: number): void;
  /** All was given: what was not is not in the store any more. */
  settled(partition: number): void;
}

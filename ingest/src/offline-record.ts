// Going offline is a record too: at the last known place, later than the last one whatever the clocks say.
import { MAX_SEQ } from '@whereabouts/client/protocol';
import type { Position } from '@whereabouts/infra/position';

export function offlineRecord(last: Position, session: number, seq: number, nowMs: number): Position {
  return {
    ...last,
    session,
    seq: Math.min(seq, MAX_SEQ),
    recordedAtMs: Math.max(Math.floor(nowMs), last.recordedAtMs + 1),
    status: 'offline',
    checkpoint: false,
    checkpointId: null,
  };
}

// The first message to a driver: its session, our clock, and the limits.
import {
  type HelloMessage,
  MAX_CLOCK_AHEAD_MS,
  MAX_MESSAGE_BYTES,
  MAX_POSITIONS,
  MAX_WAITING_CHECKPOINTS,
} from '@whereabouts/client/protocol';
import type { Edge } from './edge.js';

export function helloMessage(edge: Edge, session: number): HelloMessage {
  const { settings } = edge;
  return {
    type: 'hello',
    session,
    server_time_ms: Math.floor(edge.clock.storeNowMs()),
    limits: {
      report_interval_ms: edge.reportIntervalMs,
      max_reports_per_s: settings.maxReportsPerS,
      burst: settings.maxReportsBurst,
      max_message_bytes: MAX_MESSAGE_BYTES,
      max_positions: MAX_POSITIONS,
      freshness_ms: settings.freshnessMs,
      max_clock_ahead_ms: MAX_CLOCK_AHEAD_MS,
      max_waiting_checkpoints: MAX_WAITING_CHECKPOINTS,
      checkpoints_per_min: settings.checkpointsPerMin,
      checkpoint_burst: settings.checkpointsBurst,
    },
    durability: settings.durability,
  };
}

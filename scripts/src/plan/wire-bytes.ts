// The size of a report and its acknowledgement between a driver and ingest, without TLS: the frames that the client's
// own code makes, in WebSocket frames, each in its own TCP segment.
import { ACK_FRAME_BYTES, encodeClientMessage } from '@whereabouts/client/frame';
import type { PositionMessage, PositionReport } from '@whereabouts/client/protocol';

export type Format = 'bin' | 'json';

/** A WebSocket header for up to 125 bytes; what a client sends is masked. */
const FROM_CLIENT_BYTES = 6;
const FROM_SERVER_BYTES = 2;
/** IPv4, and TCP with timestamps; a segment without payload says that the last one arrived. */
const SEGMENT_BYTES = 52;
const MAX_SHORT_PAYLOAD_BYTES = 125;
/** 126 to 65,535 bytes have their length in two bytes more. */
const LONG_LENGTH_BYTES = 2;

/** Everything that a phone knows, and a seq after half an hour of driving. */
const REPORT: PositionMessage<PositionReport> = {
  type: 'position',
  seq: 1000,
  recorded_at_ms: 1_700_000_000_000,
  lat: 52.2297003,
  lon: 21.0122287,
  heading_deg: 271.5,
  speed_mps: 8.33,
  accuracy_m: 4.5,
  status: 'available',
};

const framed = (payloadBytes: number, headerBytes: number): number =>
  payloadBytes + headerBytes + (payloadBytes > MAX_SHORT_PAYLOAD_BYTES ? LONG_LENGTH_BYTES : 0);

function payloadBytes(format: Format): { report: number; ack: number } {
  if (format === 'bin') return { report: encodeClientMessage(REPORT).length, ack: ACK_FRAME_BYTES };
  return {
    report: JSON.stringify(REPORT).length,
    ack: JSON.stringify({ type: 'ack', seq: REPORT.seq }).length,
  };
}

/** A message in its own direction, and the empty segment that answers it in the other. */
export function wireBytes(format: Format): { report: number; ack: number; receipt: number } {
  const payload = payloadBytes(format);
  return {
    report: SEGMENT_BYTES + framed(payload.report, FROM_CLIENT_BYTES),
    ack: SEGMENT_BYTES + framed(payload.ack, FROM_SERVER_BYTES),
    receipt: SEGMENT_BYTES,
  };
}

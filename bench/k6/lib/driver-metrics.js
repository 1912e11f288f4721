// What drivers see, and in which phase of the run.
import { Counter, Rate, Trend } from 'k6/metrics';

export const connectLatency = new Trend('connect_latency', true); // to `hello`
export const ackLatency = new Trend('ack_latency', true);
export const persistedLatency = new Trend('persisted_latency', true);
export const reportsSent = new Counter('reports_sent');
export const reportsAcked = new Counter('reports_acked');
/** The share of answered reports that got a nack. */
export const reportsRefused = new Rate('reports_refused');
export const nacks = new Counter('nacks');
export const connectFailures = new Counter('connect_failures');
export const lostConnections = new Counter('lost_connections');
/** Lost with their connection; the newest and the checkpoints are sent again. */
export const reportsUnanswered = new Counter('reports_unanswered');

/** Shown with each run, so that a nack's reason is visible at once. */
const NACK_CODES = [
  'bad_message',
  'bad_position',
  'clock_ahead',
  'too_old',
  'stale',
  'too_fast',
  'region_unavailable',
  'overloaded',
  'not_ready',
  'too_many_checkpoints',
];
/** An empty list makes k6 show a part of a metric without judging it. */
export const NACKS_BY_CODE = Object.fromEntries(NACK_CODES.map((code) => [`nacks{code:${code}}`, []]));

/** `untilS` since the start of the run; the last phase has none. */
export function phaseClock(phases, startedAtMs) {
  const tags = phases.map(({ name }) => ({ phase: name }));
  return (atMs) => {
    const sinceS = (atMs - startedAtMs) / 1000;
    const at = phases.findIndex(({ untilS }) => untilS === undefined || sinceS < untilS);
    return tags[at];
  };
}

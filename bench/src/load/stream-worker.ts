// Many streams of nearby drivers, read by one process. It examines a sample of them: the age of a position when the
// event with it arrives.
import { type ClientRequest, get } from 'node:http';
import type { Place } from './places.js';

export interface StreamTask {
  port: number;
  token: string;
  localAddress: string;
  places: readonly Place[];
  /** Beside the place. */
  parameters: string;
}

export interface StreamReport {
  /** Their snapshots have come. */
  open: number;
  /** Ended, or refused. */
  failed: number;
  bytes: number;
  /** For drivers reported to have moved: from recording until their event was read; since the last request for it. */
  delaysMs: number[];
}

const OPEN_AT_ONCE = 100;
/** One in this many streams is examined. */
const SAMPLE = 20;
const RECORDED = /"recorded_at":"([^"]+)"/g;

const report: StreamReport = { open: 0, failed: 0, bytes: 0, delaysMs: [] };
const requests: ClientRequest[] = [];

function look(event: string): void {
  const nowMs = Date.now();
  if (!event.startsWith('event: change')) return;
  const moved = event.slice(event.lastIndexOf('"moved":['));
  for (const [, recordedAt = ''] of moved.matchAll(RECORDED))
    report.delaysMs.push(nowMs - Date.parse(recordedAt));
}

function open(task: StreamTask, index: number, isOpen: () => void): void {
  const { lat, lon } = task.places[index] as Place;
  const request = get(
    {
      ...{ host: '127.0.0.1', port: task.port, localAddress: task.localAddress, agent: false },
      path: `/v1/drivers/nearby/stream?lat=${lat}&lon=${lon}&${task.parameters}`,
      headers: { authorization: `Bearer ${task.token}` },
    },
    (response) => {
      let isFirst = true;
      let rest = '';
      response.on('data', (chunk: Buffer) => {
        report.bytes += chunk.length;
        if (isFirst && response.statusCode === 200) {
          report.open++;
          isOpen();
        }
        isFirst = false;
        if (index % SAMPLE !== 0) return;
        const events = (rest + chunk).split('\n\n');
        rest = events.pop() ?? '';
        for (const event of events) look(event);
      });
      response.on('close', () => report.failed++);
    },
  );
  request.on('error', () => report.failed++);
  requests.push(request);
}

/** Some at a time; the next starts as soon as an earlier one is open. */
function openAll(task: StreamTask): void {
  let next = 0;
  const one = () => {
    if (next < task.places.length) open(task, next++, one);
  };
  for (let i = 0; i < OPEN_AT_ONCE; i++) one();
}

process.on('message', (message: StreamTask | 'report') => {
  if (message !== 'report') return openAll(message);
  process.send?.(report);
  report.delaysMs = [];
});
process.on('disconnect', () => process.exit());

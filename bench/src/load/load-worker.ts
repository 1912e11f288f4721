// A process of the load: connects its drivers, has each report once an interval, and returns the outcome.

import { createHmac } from 'node:crypto';
import { Latencies } from './latencies.js';
import { type Format, LoadDriver, type LoadTotals } from './load-driver.js';

export interface WorkerTask {
  host: string;
  port: number;
  /** Null for the echo: no token is needed. */
  auth: { secret: string; issuer: string; audience: string } | null;
  ack: 'each' | 'sparse';
  format: Format;
  intervalMs: number;
  localAddress: string;
  drivers: { id: string; lat: number; lon: number }[];
}

export interface WorkerReport {
  totals: LoadTotals;
  latencies: number[];
}

/** By driver: when the newest report known to be acknowledged was recorded, in ms; drivers without one are left out. */
export type AckedReports = Record<string, number>;

const CONNECTING_AT_ONCE = 200;
const STEP_MS = 10;
const TOKEN_TTL_S = 24 * 3600;

function token(auth: NonNullable<WorkerTask['auth']>, subject: string): string {
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const exp = Math.floor(Date.now() / 1000) + TOKEN_TTL_S;
  const { issuer: iss, audience: aud } = auth;
  const claims = part({ sub: subject, scope: 'location:write', iss, aud, exp });
  const signed = `${part({ alg: 'HS256', typ: 'JWT' })}.${claims}`;
  return `${signed}.${createHmac('sha256', auth.secret).update(signed).digest('base64url')}`;
}

function run(task: WorkerTask): void {
  const totals: LoadTotals = { open: 0, closed: 0, sent: 0, acks: 0, nacks: 0 };
  const latencies = new Latencies();
  const drivers: LoadDriver[] = [];
  const connectSome = () => {
    const connecting = drivers.length - totals.open;
    const some = task.drivers.slice(drivers.length, drivers.length + CONNECTING_AT_ONCE - connecting);
    for (const { id, lat, lon } of some) {
      const headers: Record<string, string> = {
        'Sec-WebSocket-Protocol': task.format === 'bin' ? 'whereabouts.v1.bin' : 'whereabouts.v1.json',
      };
      if (task.auth) headers.Authorization = `Bearer ${token(task.auth, id)}`;
      const { host, port, localAddress, format } = task;
      const options = {
        host,
        port,
        localAddress,
        format,
        headers,
        lat,
        lon,
        path: `/v1/stream?ack=${task.ack}`,
      };
      drivers.push(new LoadDriver(options, totals, latencies));
    }
    if (drivers.length < task.drivers.length) setTimeout(connectSome, STEP_MS);
  };
  connectSome();

  // Each driver has its moment within the interval; a late step catches up on what it missed.
  const startedAtMs = performance.now();
  let next = 0;
  setInterval(() => {
    const nowMs = performance.now();
    const due = Math.floor(((nowMs - startedAtMs) / task.intervalMs) * task.drivers.length);
    next = Math.max(next, due - task.drivers.length);
    for (; next < due; next++) {
      const driver = drivers[next % task.drivers.length];
      if (driver?.isOpen) driver.report(nowMs);
    }
  }, STEP_MS);
  process.on('message', (message) => {
    if (message === 'report') {
      const report: WorkerReport = { totals, latencies: Array.from(latencies.counts) };
      process.send?.(report);
    } else if (message === 'acked') {
      const acked = drivers.map((driver, i) => [task.drivers[i]?.id, driver.ackedRecordedAtMs]);
      process.send?.(Object.fromEntries(acked.filter(([, recordedAtMs]) => recordedAtMs)) as AckedReports);
    } else if (message === 'clear') latencies.clear();
  });
}

process.once('message', (task) => run(task as WorkerTask));
process.on('disconnect', () => process.exit(0));

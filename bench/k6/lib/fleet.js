// Many drivers as a k6 scenario: each VU holds several, since a VU costs far more than a connection.
import exec from 'k6/execution';
import { seededRandom, Vehicle } from './city.js';
import { Driver } from './driver.js';
import { NACKS_BY_CODE, phaseClock } from './driver-metrics.js';
import { settings } from './settings.js';

/** On top of a driver's life: its last answers, and closing. */
const END_S = 15;
const WARNING_VUS = 3;

/** Drivers start one after another within `rampS`, and leave in that order after `lifeS`. */
export function fleetScenario({ exec: name, drivers, startS = 0, rampS, lifeS }) {
  return {
    executor: 'per-vu-iterations',
    exec: name,
    vus: Math.ceil(drivers / settings.driversPerVu),
    iterations: 1,
    startTime: `${startS}s`,
    maxDuration: `${rampS + lifeS + END_S}s`,
    gracefulStop: '0s',
  };
}

/** The iteration ends with the last of its sockets and timers. `cutAtS`: since the start of the run. */
export function runFleet({ name, drivers, rampS, lifeS, phases, cutAtS }, { startedAtMs }) {
  const first = exec.scenario.iterationInTest * settings.driversPerVu;
  const phaseAt = phaseClock(phases, startedAtMs);
  // Enough to see why; thousands would fail for the same reason.
  let silent = exec.scenario.iterationInTest >= WARNING_VUS;
  const warn = (text) => {
    if (!silent) console.warn(`${text} (more are only counted)`);
    silent = true;
  };
  for (let index = first; index < Math.min(first + settings.driversPerVu, drivers); index++) {
    const random = seededRandom(Math.imul(settings.seed, 0x9e3779b1) ^ Math.imul(index + 1, 0x85ebca6b));
    const driver = new Driver({ id: `${name}-${index}`, vehicle: new Vehicle(random), phaseAt, warn });
    const startMs = random() * rampS * 1000;
    setTimeout(() => driver.start(), startMs);
    setTimeout(() => driver.leave(), startMs + lifeS * 1000);
    if (cutAtS !== undefined) setTimeout(() => driver.cut(), startedAtMs + cutAtS * 1000 - Date.now());
  }
}

/**
 * Acknowledgements in one phase. A metric without a sample meets every threshold on times, so at least one must have
 * arrived.
 */
export const ackThresholds = (phase, p99Ms) => ({
  [`ack_latency{phase:${phase}}`]: [`p(95)<${0.6 * p99Ms}`, `p(99)<${p99Ms}`],
  [`reports_acked{phase:${phase}}`]: ['count>=1'],
});

export const FLEET_THRESHOLDS = {
  reports_refused: ['rate<0.001'],
  connect_failures: ['count==0'],
  lost_connections: ['count==0'],
  ...NACKS_BY_CODE,
};

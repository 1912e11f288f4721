// A spike: DRIVERS report, then all at once every driver loses the connection and comes back while three times as many
// newcomers arrive, all within SPIKE_S. Then four times as many continue.
//
//   warm_up | before | spike | after
//
//   k6 run bench/k6/spike.js
import { ackThresholds, FLEET_THRESHOLDS, fleetScenario, runFleet } from './lib/fleet.js';
import { settings, TREND_STATS } from './lib/settings.js';
import { requireService, target } from './lib/target.js';

const { drivers, rampS, durationS, ackP99Ms } = settings;
const SPIKE_S = 3;
/** From the first of the spike until everything must be as before. */
const RECOVERY_S = 8;

const warmS = rampS + 2;
const spikeAtS = warmS + Math.ceil(durationS / 4);
const endS = spikeAtS + durationS;
const phases = [
  { name: 'warm_up', untilS: warmS },
  { name: 'before', untilS: spikeAtS },
  { name: 'spike', untilS: spikeAtS + RECOVERY_S },
  { name: 'after' },
];
const residents = { name: 'k6', drivers, rampS, lifeS: endS - rampS, phases, cutAtS: spikeAtS };
const newcomers = {
  name: 'k6-new',
  drivers: 3 * drivers,
  startS: spikeAtS,
  rampS: SPIKE_S,
  lifeS: endS - spikeAtS - SPIKE_S,
  phases,
};

export const options = {
  scenarios: {
    residents: fleetScenario({ exec: 'stay', ...residents }),
    newcomers: fleetScenario({ exec: 'arrive', ...newcomers }),
  },
  summaryTrendStats: TREND_STATS,
  thresholds: {
    ...ackThresholds('before', ackP99Ms),
    ...ackThresholds('spike', 4 * ackP99Ms),
    ...ackThresholds('after', ackP99Ms),
    'connect_latency{phase:spike}': ['p(99)<2000'],
    checks: ['rate==1'],
    ...FLEET_THRESHOLDS,
  },
};

export function setup() {
  requireService(target.ingestUrl);
  return { startedAtMs: Date.now() };
}

export function stay(run) {
  runFleet(residents, run);
}

export function arrive(run) {
  runFleet(newcomers, run);
}

// Drivers who report: DRIVERS of them for DURATION_S, each over its own WebSocket.
//
//   k6 run bench/k6/drivers.js
import { ackThresholds, FLEET_THRESHOLDS, fleetScenario, runFleet } from './lib/fleet.js';
import { settings, TREND_STATS } from './lib/settings.js';
import { requireService, target } from './lib/target.js';

const { drivers, rampS, durationS, ackP99Ms } = settings;
const fleet = {
  name: 'k6',
  drivers,
  rampS,
  lifeS: durationS,
  phases: [{ name: 'warm_up', untilS: rampS + 2 }, { name: 'steady' }],
};

export const options = {
  scenarios: { drivers: fleetScenario({ exec: 'drive', ...fleet }) },
  summaryTrendStats: TREND_STATS,
  thresholds: {
    ...ackThresholds('steady', ackP99Ms),
    persisted_latency: ['p(99)<2000'],
    connect_latency: ['p(99)<1000'],
    checks: ['rate==1'],
    ...FLEET_THRESHOLDS,
  },
};

export function setup() {
  requireService(target.ingestUrl);
  return { startedAtMs: Date.now() };
}

export function drive(run) {
  runFleet(fleet, run);
}

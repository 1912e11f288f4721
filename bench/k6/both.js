// Drivers and dispatch together: the questions begin when the drivers are there and end before they go.
//
//   k6 run bench/k6/both.js
import { askBatch, askNearby, DISPATCH_THRESHOLDS, dispatchScenarios, follow } from './lib/dispatch.js';
import { ackThresholds, FLEET_THRESHOLDS, fleetScenario, runFleet } from './lib/fleet.js';
import { settings, TREND_STATS } from './lib/settings.js';
import { requireService, target } from './lib/target.js';

const { drivers, rampS, durationS, ackP99Ms } = settings;
const askingFromS = rampS + 3;
const fleet = {
  name: 'k6',
  drivers,
  rampS,
  lifeS: askingFromS + durationS,
  phases: [{ name: 'warm_up', untilS: askingFromS }, { name: 'steady' }],
};

export const options = {
  scenarios: {
    drivers: fleetScenario({ exec: 'drive', ...fleet }),
    ...dispatchScenarios(askingFromS, durationS),
  },
  summaryTrendStats: TREND_STATS,
  thresholds: {
    ...ackThresholds('steady', ackP99Ms),
    checks: ['rate==1'],
    ...FLEET_THRESHOLDS,
    ...DISPATCH_THRESHOLDS,
  },
};

export function setup() {
  requireService(target.ingestUrl);
  requireService(target.queryUrl);
  return { startedAtMs: Date.now() };
}

export function drive(run) {
  runFleet(fleet, run);
}

export { askBatch as batch, askNearby as nearby, follow };

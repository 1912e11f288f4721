// Dispatch questions about any connected fleet: QUESTIONS_PER_S for DURATION_S.
//
//   k6 run bench/k6/dispatch.js
import { askBatch, askNearby, DISPATCH_THRESHOLDS, dispatchScenarios, follow } from './lib/dispatch.js';
import { settings, TREND_STATS } from './lib/settings.js';
import { requireService, target } from './lib/target.js';

export const options = {
  scenarios: dispatchScenarios(0, settings.durationS),
  summaryTrendStats: TREND_STATS,
  thresholds: { checks: ['rate==1'], ...DISPATCH_THRESHOLDS },
};

export function setup() {
  requireService(target.queryUrl);
}

export { askBatch as batch, askNearby as nearby, follow };

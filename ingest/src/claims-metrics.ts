// The metrics of claims.
import type { Metrics } from '@whereabouts/infra/service/metrics';
import type { ClaimCounts } from './claiming-connection.js';

const HELP: Record<keyof ClaimCounts, [name: string, help: string]> = {
  claims: ['claims_total', 'Claims of sessions that were sent to the live store, repeated ones too.'],
  calls: ['claim_calls_total', 'Calls that carried claims.'],
  failedCalls: ['claim_calls_failed_total', 'Calls with claims that had no answer, or an error.'],
  lost: ['claims_lost_total', 'Claims that lost to another connection of their driver.'],
  renumbered: [
    'claims_renumbered_total',
    'Connections that were given another session than they began with.',
  ],
  superseded: [
    'claims_superseded_total',
    'Connections that ended because their driver has a newer one elsewhere.',
  ],
  looks: ['claim_looks_total', 'Calls that asked who holds the drivers of this process.'],
};

export function registerClaimMetrics(
  metrics: Metrics,
  claims: { counts: ClaimCounts; unanswered: number },
): void {
  for (const [key, [name, help]] of Object.entries(HELP) as [keyof ClaimCounts, [string, string]][])
    metrics.counter(name, {
      help,
      collect() {
        this.reset();
        this.inc(claims.counts[key]);
      },
    });
  metrics.gauge('claims_unanswered', {
    help: 'Drivers whose claims have not been answered.',
    collect() {
      this.set(claims.unanswered);
    },
  });
}

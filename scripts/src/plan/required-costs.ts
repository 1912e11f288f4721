// Which measured costs a target needs. A missing one is never guessed: the plan is refused, with the bench that
// measures it.
import type { Target } from './capacity-plan.js';
import type { Cost, Costs, UsedCost } from './measured-costs.js';

interface Required {
  name: string;
  bench: string;
}

export class NotMeasured extends Error {
  readonly code = 'not_measured';
}

/** What this target's frames and acknowledgements cost, by the names that bench `cost` uses. */
const modeOf = ({ frames, ack }: Target) => `${frames}_${ack}`;
export const costName = (part: string, target: Target): string => `${part}_${modeOf(target)}`;

function requiredBy(target: Target): Required[] {
  const of = (bench: string, ...names: string[]) => names.map((name) => ({ bench, name }));
  const mode = (part: string) => costName(part, target);
  return [
    ...of(
      'cost',
      mode('ingest_us'),
      mode('masters_us'),
      mode('replicas_us'),
      mode('query_api_us'),
      mode('positions_per_call'),
    ),
    ...of('update', 'redis_us_per_poll'),
    ...of('memory', 'redis_bytes_per_driver', 'ingest_bytes_per_connection', 'query_api_bytes_per_driver'),
    ...of(
      'flush',
      'flusher_us_per_row',
      'postgres_us_per_row',
      'postgres_wal_bytes_per_row',
      'postgres_rows_per_s',
    ),
    ...(target.questionsPerS > 0 ? of('questions', 'query_api_us_per_question') : []),
    ...(target.durability === 'replicated'
      ? of(
          'durability',
          'durability_replicated_extra_ingest_us',
          'durability_replicated_extra_masters_us',
          'durability_replicated_extra_replicas_us',
        )
      : []),
  ];
}

/** Throws NotMeasured, with everything that is missing. */
export function requiredCosts(target: Target, costs: Costs): UsedCost[] {
  const required = requiredBy(target);
  const lacking = required.filter(({ name }) => !costs.has(name));
  if (lacking.length > 0) throw new NotMeasured(lackText(lacking));
  return required.map(({ name }) => ({ name, ...(costs.get(name) as Cost) }));
}

function lackText(lacking: readonly Required[]): string {
  const benches = [...new Set(lacking.map(({ bench }) => bench))];
  const lines = benches.map((bench) => {
    const names = lacking.filter((cost) => cost.bench === bench).map(({ name }) => name);
    return `  npm run bench -- ${bench.padEnd(12)}${names.join(', ')}`;
  });
  return [
    'There is no plan without measured costs, and these were not measured on this machine. Run:',
    ...lines,
    `or all at once: npm run bench -- ${benches.join(' ')}`,
  ].join('\n');
}

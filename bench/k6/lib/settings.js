// The settings for `-e NAME=VALUE`, each with its default; README.md beside this folder has the table.

function number(name, fallback, least) {
  const text = __ENV[name];
  if (text === undefined || text === '') return fallback;
  const value = Number(text);
  if (!(value >= least)) throw new Error(`${name} is "${text}": give a number, at least ${least}`);
  return value;
}

function choice(name, values) {
  const text = __ENV[name];
  if (text === undefined || text === '') return values[0];
  if (!values.includes(text)) throw new Error(`${name} is "${text}": give one of ${values.join(', ')}`);
  return text;
}

export const settings = Object.freeze({
  drivers: number('DRIVERS', 1000, 1),
  driversPerVu: number('DRIVERS_PER_VU', 10, 1),
  durationS: number('DURATION_S', 60, 10),
  rampS: number('RAMP_S', 5, 0),
  /** 0: as the server asks. */
  intervalMs: number('INTERVAL_MS', 0, 0),
  ackMode: choice('ACK', ['each', 'sparse']),
  tripS: number('TRIP_S', 60, 1),
  questionsPerS: number('QUESTIONS_PER_S', 100, 1),
  centre: { lat: number('LAT', 52.2297, -85), lon: number('LON', 21.0122, -180) },
  seed: number('SEED', 1, 0),
  ackP99Ms: number('ACK_P99_MS', 250, 1),
  answerP99Ms: number('ANSWER_P99_MS', 150, 1),
});

/** p(99) is not among k6's defaults. */
export const TREND_STATS = ['med', 'p(95)', 'p(99)', 'max'];

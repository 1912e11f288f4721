// Dispatch as a k6 load: the nearest drivers, for one point or for many, and the current place of one driver.
import { check } from 'k6';
import http from 'k6/http';
import { Rate } from 'k6/metrics';
import { distanceM, isNearestFirst } from './answers.js';
import { seededRandom, somePlace } from './city.js';
import { settings } from './settings.js';
import { target } from './target.js';
import { readerToken } from './tokens.js';

const RADIUS_M = 5000;
const LIMITS = [1, 5, 10, 50];
const BATCH_POINTS = 20;
/** For each nearby question. A batch has many points, so both ask for as many; following is the rarest. */
const BATCHES_PER_NEARBY = 1 / BATCH_POINTS;
const FOLLOWS_PER_NEARBY = 1 / 10;
/** The answers are rounded. */
const DISTANCE_TOLERANCE_M = 0.1;

/** Answers with a driver in them: a fast answer about an empty map proves nothing. */
const answersWithDrivers = new Rate('answers_with_drivers');

const random = seededRandom(settings.seed + 7919 * __VU);
const headers = { authorization: `Bearer ${readerToken()}`, 'content-type': 'application/json' };
const asked = (name) => ({ headers, tags: { name } });

/** Questions come at their rate, whether or not the ones before are answered. */
function scenario(exec, perNearby, startS, durationS) {
  const perS = settings.questionsPerS * perNearby;
  const vus = Math.ceil(perS / 4) + 5;
  return {
    executor: 'constant-arrival-rate',
    exec,
    rate: Math.max(1, Math.round(60 * perS)),
    timeUnit: '60s',
    startTime: `${startS}s`,
    duration: `${durationS}s`,
    preAllocatedVUs: vus,
    maxVUs: 4 * vus,
    gracefulStop: '5s',
  };
}

export const dispatchScenarios = (startS, durationS) => ({
  nearby: scenario('nearby', 1, startS, durationS),
  batch: scenario('batch', BATCHES_PER_NEARBY, startS, durationS),
  follow: scenario('follow', FOLLOWS_PER_NEARBY, startS, durationS),
});

const { answerP99Ms } = settings;
export const DISPATCH_THRESHOLDS = {
  'http_req_duration{name:nearby}': [`p(95)<${answerP99Ms / 2}`, `p(99)<${answerP99Ms}`],
  'http_req_duration{name:batch}': [`p(95)<${answerP99Ms}`, `p(99)<${2 * answerP99Ms}`],
  'http_req_duration{name:by_id}': [`p(95)<${answerP99Ms / 2}`, `p(99)<${answerP99Ms}`],
  'http_reqs{name:nearby}': ['count>=1'],
  'http_reqs{name:batch}': ['count>=1'],
  'http_reqs{name:by_id}': ['count>=1'],
  http_req_failed: ['rate==0'],
  answers_with_drivers: ['rate>0.5'],
  // k6 could not ask at the configured rate, so it measures a different load.
  dropped_iterations: ['count==0'],
};

function question() {
  const limit = LIMITS[Math.floor(random() * LIMITS.length)];
  return { ...somePlace(random), radius_m: RADIUS_M, limit };
}

function bodyOf(response) {
  return check(response, { 'HTTP 200': ({ status }) => status === 200 }) ? response.json() : null;
}

function checkAnswer({ complete, missing, query, drivers }, { lat, lon, limit }) {
  answersWithDrivers.add(drivers.length > 0);
  check(drivers, {
    'nothing is missing': () => complete === true && missing.length === 0,
    'the question is repeated': () => query.lat === lat && query.lon === lon && query.limit === limit,
    'no more than were asked for': () => drivers.length <= limit,
    'nearest first': () => isNearestFirst(drivers),
    'within the radius': () => drivers.every(({ distance_m }) => distance_m <= RADIUS_M),
    'as far away as said': () =>
      drivers.every((d) => Math.abs(d.distance_m - distanceM(lat, lon, d.lat, d.lon)) < DISTANCE_TOLERANCE_M),
    'available and fresh': () =>
      drivers.every(({ status, age_ms }) => status === 'available' && age_ms <= query.max_age_ms),
    'said to be provisional': () => drivers.every(({ provisional }) => provisional === true),
  });
}

export function askNearby() {
  const point = question();
  const query = Object.entries(point).map(([name, value]) => `${name}=${value}`);
  const body = bodyOf(http.get(`${target.queryUrl}/v1/drivers/nearby?${query.join('&')}`, asked('nearby')));
  if (body !== null) checkAnswer(body, point);
  return body;
}

export function askBatch() {
  const points = Array.from({ length: BATCH_POINTS }, question);
  const text = JSON.stringify({ points });
  const body = bodyOf(http.post(`${target.queryUrl}/v1/drivers/nearby:batch`, text, asked('batch')));
  if (body === null) return;
  check(body, { 'an answer for each point': ({ answers }) => answers.length === points.length });
  for (const [i, answer] of body.answers.entries()) checkAnswer(answer, points[i]);
}

/** Finds a driver and asks for it by id: the position must not be older than the one just seen. */
export function follow() {
  const seen = askNearby()?.drivers[0];
  if (seen === undefined) return;
  const body = bodyOf(http.get(`${target.queryUrl}/v1/drivers/${seen.driver_id}`, asked('by_id')));
  if (body === null) return;
  check(body, {
    'the driver asked for': ({ driver_id }) => driver_id === seen.driver_id,
    'by id nothing is missing': ({ complete }) => complete === true,
    'never back in time': ({ recorded_at }) => Date.parse(recorded_at) >= Date.parse(seen.recorded_at),
  });
}

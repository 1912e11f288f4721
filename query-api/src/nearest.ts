// The nearest drivers, out of partitions that know only their own drivers, and give only as many as asked.
//
//   first round    the partition that holds the point, with the caller's whole radius
//   widening       every partition that the circle out to the k-th driver found so far touches; where fewer than k
//                  are found, a circle that should hold as many, then a larger one, then the caller's
//   counting       partitions that gave all they were asked for and may know a nearer one: with a larger count
//
// What makes an answer exact: each partition is *known* up to some distance from the point. One that gave fewer
// than it was asked for is known up to the radius that it searched; one that gave as many only up to its furthest
// hit. When every partition that touches the circle through the k-th driver is known that far, no nearer driver
// can turn up. A driver that just crossed a border stands in two partitions: the older record is a ghost. Where only
// the ghost is seen (it is marked as moved), the newest record is looked up where the driver is now.

import type { LivePosition } from '@whereabouts/infra/live-store/answers';
import type { GetAnswer, NearAnswer, NearQuery } from '@whereabouts/infra/live-store/live-store';
import { bearingDeg, distanceM, fromE7 } from '@whereabouts/infra/position';
import type { Density } from './density.js';
import type { MissingPartition, MissingReason } from './missing.js';
import { keepNewest, type Seen } from './newest.js';

export interface Question {
  lat: number;
  lon: number;
  radiusM: number;
  limit: number;
  maxAgeMs: number;
  status: 'available' | 'busy';
  services: number;
  exclude: ReadonlySet<string>;
}

/** Never rejects: a partition that does not answer is a reason. */
export type AskPartition = (partition: number, query: NearQuery) => Promise<NearAnswer | MissingReason>;

export interface World {
  map: {
    partitionOf(lat: number, lon: number): number;
    cover(lat: number, lon: number, radiusM: number): number[];
  };
  ask: AskPartition;
  /** The same, of what a partition knows of these drivers. */
  get(partition: number, ids: readonly string[]): Promise<GetAnswer | MissingReason>;
  density: Density;
}

export interface Hit {
  position: LivePosition;
  distanceM: number;
  ageMs: number;
}

export interface Found {
  /** Nearest first, ties by id. */
  hits: Hit[];
  missing: MissingPartition[];
  ghosts: number;
  /** Partitions that gave any answer. */
  answered: number;
}

const WIDENINGS = 3;
const COUNTINGS = 3;
/** How many borders a driver may have crossed within a second and still be found. */
const MAX_HOPS = 3;
const MAX_ROUNDS = 1 + WIDENINGS + COUNTINGS;
/** A partition's own limit for the candidates of one search. */
const MAX_COUNT = 2_000;
// Four times, and not twice: so the countings reach 60 times the first count, and a queue of several
// hundred cars on one spot is still sorted out.
const COUNT_GROWTH = 4;
// Asked for beyond the limit: room for a ghost or two, and for the last hits, whose order Redis cannot tell.
const COUNT_MARGIN = 4;
// Asking everything that the caller's circle touches, where the first partition had too few, asked 64 partitions for
// what ten of them had. So the circle grows by what was found, and these are its bounds.
const WIDENING_ROOM = 1.5;
const WIDENING_GROWTH = { min: 1.5, max: 4 };
const LEAST_WIDENING_M = 1_000;

// Redis measures on a sphere of 6,372,797.560856 m, 1.000281 times ours, from the centre of a cell of 52 bits,
// up to 0.33 m away. So it is asked for a little more; and the order of two hits closer than a metre is ours.
const REDIS_RADIUS_RATIO = 1.0003;
const REDIS_SLACK_M = 1;

interface Knowledge {
  hits: readonly LivePosition[];
  nowMs: number;
  reason: MissingReason | null;
  answered: boolean;
  /** Nothing of it is unknown up to here. */
  upToM: number;
  count: number;
  /** It gave all it was asked for, so it may have more. */
  full: boolean;
  /** Asking again tells nothing new. */
  exhausted: boolean;
}

export async function findNearest(world: World, question: Question): Promise<Found> {
  const search = new Search(world, question);
  const { lat, lon, radiusM } = question;
  await search.ask([search.home], radiusM);
  for (let round = 2; round <= MAX_ROUNDS; round++) {
    const reachM = search.nextReachM();
    const open = world.map.cover(lat, lon, reachM).filter((partition) => search.isOpen(partition, reachM));
    if (open.length > 0) await search.ask(open, reachM);
    else if (reachM >= search.finalReachM()) break;
  }
  return search.found();
}

class Search {
  readonly #world: World;
  readonly #question: Question;
  readonly home: number;
  /** Where nobody turns out to be a ghost. */
  readonly #enough: number;
  readonly #known = new Map<number, Knowledge>();
  /** Where drivers are now of whom a partition knew only that they had moved. */
  readonly #located = new Map<string, Seen>();
  readonly #followed = new Set<string>();
  /** Partitions that should have told. */
  readonly #lostTrack = new Map<number, MissingReason>();
  #candidates: Hit[] = [];
  #ghosts = 0;
  #widenings = 0;
  #widenedM = 0;

  constructor(world: World, question: Question) {
    this.#world = world;
    this.#question = question;
    this.home = world.map.partitionOf(question.lat, question.lon);
    this.#enough = question.limit + question.exclude.size;
  }

  /** Everything within is to be known in the end: the k-th driver found, or all that the caller asked for. */
  finalReachM(): number {
    return this.#candidates[this.#question.limit - 1]?.distanceM ?? this.#question.radiusM;
  }

  /** Everything within is to be known after the next round. */
  nextReachM(): number {
    const { limit, radiusM } = this.#question;
    const found = this.#candidates.length;
    if (found >= limit) return this.finalReachM();
    this.#widenings++;
    if (this.#widenings >= WIDENINGS) return radiusM;
    const wanted = (limit * WIDENING_ROOM) / Math.max(1, found);
    if (this.#widenings === 1) {
      // As many drivers as wanted, at the density of those in the first partition.
      const evenlyM = Math.sqrt((areaM2(this.#question, this.#candidates) * wanted) / Math.PI);
      this.#widenedM = Math.max(LEAST_WIDENING_M, evenlyM);
    } else {
      const { min, max } = WIDENING_GROWTH;
      this.#widenedM *= Math.max(min, Math.min(max, Math.sqrt(wanted)));
    }
    return Math.min(radiusM, this.#widenedM);
  }

  isOpen(partition: number, reachM: number): boolean {
    const known = this.#known.get(partition);
    return known === undefined || (known.upToM < reachM && !known.exhausted);
  }

  async ask(partitions: readonly number[], reachM: number): Promise<void> {
    await Promise.all(partitions.map((partition) => this.#askOne(partition, reachM)));
    for (let hop = 0; hop < MAX_HOPS; hop++) {
      const moved = this.#moved();
      if (moved.size === 0) break;
      await Promise.all([...moved].map(([partition, ids]) => this.#follow(partition, ids)));
    }
    this.#gather(this.#newest());
  }

  found(): Found {
    const { lat, lon, limit } = this.#question;
    const reachM = this.finalReachM();
    const missing: MissingPartition[] = [...this.#lostTrack].map(([partition, reason]) => ({
      partition,
      reason,
    }));
    for (const partition of this.#world.map.cover(lat, lon, reachM)) {
      const known = this.#known.get(partition);
      // Never asked, or not far enough: the rounds ran out.
      const reason = known?.reason ?? (known && known.upToM >= reachM ? null : 'crowded');
      if (reason && !this.#lostTrack.has(partition)) missing.push({ partition, reason });
    }
    const answered = [...this.#known.values()].filter((known) => known.answered).length;
    return { hits: this.#candidates.slice(0, limit), missing, ghosts: this.#ghosts, answered };
  }

  async #askOne(partition: number, reachM: number): Promise<void> {
    const { lat, lon, maxAgeMs, status, services } = this.#question;
    const before = this.#known.get(partition);
    const count = Math.min(
      MAX_COUNT,
      before?.full ? before.count * COUNT_GROWTH : this.#enough + COUNT_MARGIN,
    );
    // Asked again, as what seemed enough was not.
    const enough = before ? count : Math.min(count, this.#enough);
    const radiusM = reachM * REDIS_RADIUS_RATIO + REDIS_SLACK_M;
    const startRadiusM = this.#startRadiusM(partition, enough, reachM, radiusM);
    const query = { lat, lon, radiusM, startRadiusM, count, enough, maxAgeMs, status, services };
    const answer = await this.#world.ask(partition, query);
    const known =
      typeof answer === 'string' ? unanswered(answer, before) : this.#learnt(answer, count, reachM, radiusM);
    this.#known.set(partition, known);
    // A circle mostly outside of the partition, or a rare service, would say too little.
    if (typeof answer === 'string' || answer.truncated || partition !== this.home || services !== 0) return;
    this.#world.density.learn(partition, status, answer.hits.length, this.#furthestM(answer));
  }

  /** A circle through the k-th driver is small already; one that the caller chose may hold a whole city. */
  #startRadiusM(partition: number, enough: number, reachM: number, radiusM: number): number {
    if (reachM < this.#question.radiusM) return radiusM;
    return this.#world.density.startRadiusM(partition, this.#question.status, enough, radiusM);
  }

  /** `radiusM` is what was asked of Redis, to know all within `reachM`. */
  #learnt(answer: NearAnswer, count: number, reachM: number, radiusM: number): Knowledge {
    const { hits, nowMs, health, truncated, searchedM } = answer;
    const full = hits.length >= count;
    let upToM = searchedM >= radiusM ? reachM : (searchedM - REDIS_SLACK_M) / REDIS_RADIUS_RATIO;
    if (full || truncated) {
      upToM = Math.min(upToM, this.#furthestM(answer) - REDIS_SLACK_M);
    }
    const exhausted = truncated || count >= MAX_COUNT;
    const reason = health === 'ok' ? null : health;
    return { hits, nowMs, reason, answered: true, upToM, count, full, exhausted };
  }

  /** Drivers of whom only a ghost is seen, by the partition they moved to, but those looked up there already. */
  #moved(): Map<number, string[]> {
    const moved = new Map<number, string[]>();
    for (const { position } of this.#newest().values()) {
      const { driverId, movedTo } = position;
      if (movedTo === null || this.#followed.has(`${movedTo} ${driverId}`)) continue;
      this.#followed.add(`${movedTo} ${driverId}`);
      const ids = moved.get(movedTo);
      if (ids) ids.push(driverId);
      else moved.set(movedTo, [driverId]);
    }
    return moved;
  }

  async #follow(partition: number, ids: readonly string[]): Promise<void> {
    const answer = await this.#world.get(partition, ids);
    if (typeof answer === 'string') {
      this.#lostTrack.set(partition, answer);
      return;
    }
    for (const position of answer.found) if (position) keepNewest(this.#located, position, answer.nowMs);
  }

  /** The newest record seen of each driver. */
  #newest(): Map<string, Seen> {
    const newest = new Map(this.#located);
    let hits = 0;
    for (const known of this.#known.values()) {
      hits += known.hits.length;
      for (const position of known.hits) keepNewest(newest, position, known.nowMs);
    }
    this.#ghosts = hits + this.#located.size - newest.size;
    return newest;
  }

  /** In the caller's terms. */
  #gather(newest: ReadonlyMap<string, Seen>): void {
    const { exclude, radiusM } = this.#question;
    const candidates: Hit[] = [];
    for (const { position, nowMs } of newest.values()) {
      const distanceM = this.#distanceM(position);
      const ageMs = Math.max(0, nowMs - position.recordedAtMs);
      if (distanceM > radiusM || exclude.has(position.driverId) || !this.#fits(position, ageMs)) continue;
      candidates.push({ position, distanceM, ageMs });
    }
    this.#candidates = candidates.sort(nearestFirst);
  }

  /** Partitions give only what fits; what was looked up may not. */
  #fits(position: LivePosition, ageMs: number): boolean {
    const { status, services, maxAgeMs } = this.#question;
    if (!this.#located.has(position.driverId)) return true;
    return position.status === status && (position.services & services) === services && ageMs <= maxAgeMs;
  }

  #furthestM({ hits }: NearAnswer): number {
    return hits.reduce((furthest, hit) => Math.max(furthest, this.#distanceM(hit)), 0);
  }

  #distanceM(position: LivePosition): number {
    return distanceM(this.#question.lat, this.#question.lon, fromE7(position.latE7), fromE7(position.lonE7));
  }
}

/** Of the box around them, roughly: good enough to guess with. */
function areaM2({ lat, lon }: Question, hits: readonly Hit[]): number {
  const metres = { west: 0, east: 0, south: 0, north: 0 };
  for (const { position, distanceM: m } of hits) {
    const bearing = (bearingDeg(lat, lon, fromE7(position.latE7), fromE7(position.lonE7)) * Math.PI) / 180;
    const [eastM, northM] = [m * Math.sin(bearing), m * Math.cos(bearing)];
    metres.west = Math.min(metres.west, eastM);
    metres.east = Math.max(metres.east, eastM);
    metres.south = Math.min(metres.south, northM);
    metres.north = Math.max(metres.north, northM);
  }
  return (metres.east - metres.west) * (metres.north - metres.south);
}

function nearestFirst(a: Hit, b: Hit): number {
  return a.distanceM - b.distanceM || (a.position.driverId < b.position.driverId ? -1 : 1);
}

/** What an earlier round told still counts. */
function unanswered(reason: MissingReason, before: Knowledge | undefined): Knowledge {
  const nothing = { hits: [], nowMs: 0, answered: false, count: 0, full: false };
  return { ...(before ?? nothing), reason, upToM: Number.POSITIVE_INFINITY, exhausted: true };
}

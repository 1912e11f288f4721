// Limits how much each caller may ask, and all callers together. A caller is a token's subject.
//
//   rate       a bucket for each subject. It fills with `questionsPerS` and holds BURST_S seconds' worth. A request is
//              admitted, before any of it is read, if the bucket holds at least 1. Its body then takes 1 for each KiB,
//              and its question takes the rest of its weight, which the bucket may owe; what the question did not use
//              is returned
//   in flight  the weight of the questions now being answered: in total, and for each subject
//   bodies     requests whose body is still arriving: in total, and for each subject
//
//  Every count that is raised is lowered again in a `finally`. A question that weighs more than a subject's limit is
// admitted when that subject has nothing else in flight.
//  (@fastify/rate-limit counts each request as one, in windows of time; it knows neither weight nor requests in
// flight.)

import { type Problem, tooMuch, unavailable } from './problem.js';

export interface AdmissionLimits {
  questionsPerS: number;
  inFlight: number;
  inFlightPerSubject: number;
}

export type Refusal =
  | 'rate'
  | 'subject_in_flight'
  | 'in_flight'
  | 'subject_bodies'
  | 'bodies'
  | 'subject_streams'
  | 'streams';

const BURST_S = 2;
const MAX_BODIES = 256;
const MAX_BODIES_PER_SUBJECT = 32;
const BODY_BYTES_EACH = 1_024;
/** How many subjects are remembered. A bucket that is full again carries no information. */
const MAX_SUBJECTS = 10_000;

interface Subject {
  balance: number;
  filledAtMs: number;
  inFlight: number;
  bodies: number;
}

export class Admission {
  readonly #limits: AdmissionLimits;
  readonly #refused: (why: Refusal) => void;
  readonly #nowMs: () => number;
  /** The subject that has been idle longest comes first. */
  readonly #subjects = new Map<string, Subject>();
  #inFlight = 0;
  #bodies = 0;

  /** `nowMs` is monotonic. */
  constructor(
    limits: AdmissionLimits,
    refused: (why: Refusal) => void,
    nowMs: () => number = () => performance.now(),
  ) {
    this.#limits = limits;
    this.#refused = refused;
    this.#nowMs = nowMs;
  }

  get inFlight(): number {
    return this.#inFlight;
  }

  /** Called before any of a request is read. */
  knock(name: string): void {
    const subject = this.#subject(name);
    if (subject.inFlight >= this.#limits.inFlightPerSubject) throw this.#shareIsFull();
    const { questionsPerS } = this.#limits;
    this.#fill(subject);
    if (subject.balance < 1) {
      const detail = `more than ${questionsPerS} questions a second (docs/http-api.md says what a question weighs)`;
      const retryAfterS = Math.ceil((1 - subject.balance) / questionsPerS);
      throw this.#refusal('rate', tooMuch('rate_limited', detail, retryAfterS));
    }
    subject.balance--;
  }

  /** Returns a function to call when the question is answered, with its final weight. */
  enter(name: string, weight: number): (weighed: number) => void {
    const { inFlight, inFlightPerSubject } = this.#limits;
    const subject = this.#subject(name);
    const counted = Math.min(weight, inFlightPerSubject);
    if (this.#inFlight + counted > inFlight) {
      throw this.#refusal('in_flight', unavailable('overloaded', `more than ${inFlight} questions at once`));
    }
    if (subject.inFlight + counted > inFlightPerSubject) throw this.#shareIsFull();
    subject.balance -= weight - 1;
    this.#inFlight += counted;
    subject.inFlight += counted;
    return (weighed) => {
      this.#inFlight -= counted;
      subject.inFlight -= counted;
      subject.balance += weight - weighed;
    };
  }

  /** For repeated work of a caller that was admitted before. */
  charge(name: string, weight: number): void {
    this.#subject(name).balance -= weight;
  }

  /** Its bucket is overdrawn. */
  owes(name: string): boolean {
    const subject = this.#subject(name);
    this.#fill(subject);
    return subject.balance < 0;
  }

  /** Returns a function to call when the body has arrived or was abandoned. */
  enterBody(name: string, bytes: number): () => void {
    const subject = this.#subject(name);
    if (subject.bodies >= MAX_BODIES_PER_SUBJECT) {
      const detail = `more than ${MAX_BODIES_PER_SUBJECT} bodies of yours are arriving at once`;
      throw this.#refusal('subject_bodies', tooMuch('too_many_at_once', detail));
    }
    if (this.#bodies >= MAX_BODIES) {
      const detail = `more than ${MAX_BODIES} bodies are arriving at once`;
      throw this.#refusal('bodies', unavailable('overloaded', detail));
    }
    subject.balance -= Math.ceil(bytes / BODY_BYTES_EACH);
    this.#bodies++;
    subject.bodies++;
    return () => {
      this.#bodies--;
      subject.bodies--;
    };
  }

  #fill(subject: Subject): void {
    const { questionsPerS } = this.#limits;
    const nowMs = this.#nowMs();
    const filled = subject.balance + ((nowMs - subject.filledAtMs) / 1_000) * questionsPerS;
    subject.balance = Math.min(BURST_S * questionsPerS, filled);
    subject.filledAtMs = nowMs;
  }

  #subject(name: string): Subject {
    const subject = this.#subjects.get(name) ?? this.#newcomer();
    // Moves the subject behind all others.
    this.#subjects.delete(name);
    this.#subjects.set(name, subject);
    return subject;
  }

  #newcomer(): Subject {
    if (this.#subjects.size >= MAX_SUBJECTS) {
      for (const [name, { inFlight, bodies }] of this.#subjects) {
        if (inFlight > 0 || bodies > 0) continue;
        this.#subjects.delete(name);
        break;
      }
    }
    const { questionsPerS } = this.#limits;
    return { balance: BURST_S * questionsPerS, filledAtMs: this.#nowMs(), inFlight: 0, bodies: 0 };
  }

  #shareIsFull(): Problem {
    const detail = `more than ${this.#limits.inFlightPerSubject} questions of yours at once`;
    return this.#refusal('subject_in_flight', tooMuch('too_many_at_once', detail));
  }

  #refusal(why: Refusal, problem: Problem): Problem {
    this.#refused(why);
    return problem;
  }
}

// The asking side: nearby, by id, in batches, over connections that stay open.
import { signDevelopmentToken } from '@whereabouts/infra/service/development-token';
import { readSecret, type Stack } from '../stack-file.js';

export interface Question {
  lat: number;
  lon: number;
  radius_m: number;
  limit: number;
  status: 'available' | 'busy';
  services: number;
  exclude: string[];
  max_age_ms?: number;
}

export interface AnsweredDriver {
  driver_id: string;
  lat: number;
  lon: number;
  distance_m: number | null;
  heading_deg: number | null;
  speed_mps: number | null;
  accuracy_m: number | null;
  status: string;
  services: number;
  recorded_at: string;
  age_ms: number;
  persisted: boolean;
  source: 'live' | 'archive';
}

export interface Answer {
  complete: boolean;
  missing: { from: string; to: string; reason: string }[];
  /** The age of the oldest partition view that the answer rests on. */
  view_age_ms: number;
  drivers: AnsweredDriver[];
}

export interface Reply<T> {
  status: number;
  body: T;
}

const MAX_ATTEMPTS = 50;
const isLate = ({ complete, missing }: Answer) =>
  !complete && missing.every(({ reason }) => reason === 'timeout');

export class Dispatcher {
  askedAgain = 0;
  readonly #url: string;
  readonly #headers: Record<string, string>;

  private constructor(url: string, token: string) {
    this.#url = url;
    this.#headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
  }

  static async of(stack: Stack): Promise<Dispatcher> {
    const { issuer, audience } = stack.auth;
    const token = await signDevelopmentToken({
      secret: readSecret(stack),
      issuer,
      audience: audience.query,
      subject: 'dispatcher',
      scope: 'drivers:read',
      ttlS: 3600,
    });
    return new Dispatcher(stack.query.url, token);
  }

  async get<T>(path: string): Promise<Reply<T>> {
    return reply(await fetch(this.#url + path, { headers: this.#headers }));
  }

  nearbyReply(question: Partial<Question>): Promise<Reply<Answer>> {
    const fields = Object.entries(question).filter(([, value]) => value !== undefined && `${value}` !== '');
    const query = new URLSearchParams(fields.map(([name, value]): [string, string] => [name, String(value)]));
    return this.get(`/v1/drivers/nearby?${query}`);
  }

  async nearby(question: Partial<Question>): Promise<Answer> {
    const { status, body } = await this.nearbyReply(question);
    if (status !== 200) throw new Error(`${status}: ${JSON.stringify(body)}`);
    return body;
  }

  /**
   * Retries like a caller that has to know, but only what a busy machine did not answer in time: the test judges
   * whatever else is missing from an answer.
   */
  async wholeAnswer(question: Partial<Question>, given?: Answer): Promise<Answer> {
    let answer = given ?? (await this.nearby(question));
    for (let attempt = 0; attempt < MAX_ATTEMPTS && isLate(answer); attempt++) {
      this.askedAgain++;
      answer = await this.nearby(question);
    }
    return answer;
  }

  async batch(points: readonly Question[]): Promise<Answer[]> {
    const { status, body } = await reply<{ answers: Answer[] }>(
      await fetch(`${this.#url}/v1/drivers/nearby:batch`, {
        method: 'POST',
        headers: this.#headers,
        body: JSON.stringify({ points }),
      }),
    );
    if (status !== 200 || body.answers.length !== points.length) {
      throw new Error(`${status}: ${JSON.stringify(body)}`);
    }
    return body.answers;
  }

  byId(driverId: string): Promise<Reply<AnsweredDriver>> {
    return this.get(`/v1/drivers/${driverId}`);
  }
}

async function reply<T>(response: Response): Promise<Reply<T>> {
  return { status: response.status, body: (await response.json()) as T };
}

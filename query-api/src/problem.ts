// What a caller gets when there is no answer: RFC 9457. `code` is for programs, `detail` for people.

import { STATUS_CODES } from 'node:http';

export interface ParameterError {
  /** As the caller wrote it: `radius_m`, or `points[3].lat` in a body. */
  parameter: string;
  detail: string;
  code:
    | 'missing'
    | 'unknown'
    | 'repeated'
    | 'conflict'
    | 'wrong_type'
    | 'out_of_range'
    | 'not_allowed'
    | 'bad_format'
    | 'bad_length';
}

export type ProblemCode =
  | 'bad_parameters'
  | 'bad_body'
  | 'bad_request'
  | 'token_missing'
  | 'token_invalid'
  | 'token_expired'
  | 'token_scope'
  | 'keys_unavailable'
  | 'key_unknown'
  | 'not_found'
  | 'driver_not_found'
  | 'method_not_allowed'
  | 'not_acceptable'
  | 'body_too_large'
  | 'unsupported_media_type'
  | 'body_timeout'
  | 'rate_limited'
  | 'too_many_at_once'
  | 'internal'
  | 'overloaded'
  | 'region_unavailable';

interface ProblemParts {
  errors?: readonly ParameterError[];
  headers?: Readonly<Record<string, string>>;
  /** Further members of the body. */
  more?: object;
}

export class Problem extends Error {
  readonly errors: readonly ParameterError[];
  readonly headers: Readonly<Record<string, string>>;
  readonly #more: object;

  constructor(
    readonly status: number,
    readonly code: ProblemCode,
    detail: string,
    parts: ProblemParts = {},
  ) {
    super(detail);
    this.name = 'Problem';
    this.errors = parts.errors ?? [];
    this.headers = parts.headers ?? {};
    this.#more = parts.more ?? {};
  }

  body(requestId: string): object {
    return {
      type: 'about:blank',
      title: STATUS_CODES[this.status] ?? 'Error',
      status: this.status,
      detail: this.message,
      code: this.code,
      request_id: requestId,
      errors: this.errors,
      ...this.#more,
    };
  }
}

const RETRY_AFTER_S = 1;

/** Try again soon: nothing is wrong with the request. */
export function unavailable(
  code: 'overloaded' | 'region_unavailable' | 'keys_unavailable' | 'key_unknown',
  detail: string,
  more: object = {},
): Problem {
  return new Problem(503, code, detail, { headers: { 'retry-after': String(RETRY_AFTER_S) }, more });
}

/** This caller alone asks too much. */
export function tooMuch(
  code: 'rate_limited' | 'too_many_at_once',
  detail: string,
  retryAfterS = RETRY_AFTER_S,
): Problem {
  return new Problem(429, code, detail, { headers: { 'retry-after': String(retryAfterS) } });
}

export function unsupportedMediaType(): Problem {
  const headers = { 'accept-post': 'application/json' };
  return new Problem(415, 'unsupported_media_type', 'the body must be application/json', { headers });
}

export function badParameters(errors: readonly ParameterError[]): Problem {
  const [first] = errors;
  const others = errors.length > 1 ? ` (and ${errors.length - 1} more, see errors)` : '';
  return new Problem(400, 'bad_parameters', `${first?.parameter}: ${first?.detail}${others}`, { errors });
}

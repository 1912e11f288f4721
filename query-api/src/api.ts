// From a request to its answer, whatever the server below: request id, route, token, limits, parameters, problems.
// Whatever goes wrong, there is an answer.

import { randomUUID } from 'node:crypto';
import type { Logger } from '@whereabouts/infra/service/log';
import { TokenError, type TokenVerifier } from '@whereabouts/infra/service/tokens';
import { chooseType } from './accept.js';
import { Asking } from './asking.js';
import type { Lanes } from './lanes.js';
import { JSON_TYPE, type Operation } from './operation.js';
import type { PageFile } from './page.js';
import { Parameters, parseJson } from './parameters.js';
import { badParameters, Problem, unavailable } from './problem.js';
import type { QueryMetrics } from './query-metrics.js';
import { DriverIdPath, MAX_IDS, MAX_POINTS } from './schemas.js';

export interface ApiRequest {
  method: string;
  path: string;
  query: string;
  authorization: string;
  accept: string;
  contentType: string;
  requestId: string;
  ifNoneMatch: string;
  /** Rejects with a Problem where it is too large or too slow. */
  body(): Promise<Buffer>;
}

export interface ApiAnswer {
  status: number;
  headers: Readonly<Record<string, string>>;
  body: string | Buffer;
}

export interface ApiParts {
  operations: readonly Operation[];
  document: object;
  page: ReadonlyMap<string, PageFile>;
  verify: TokenVerifier;
  metrics: QueryMetrics;
  lanes: Lanes;
  log: Logger;
  requestDeadlineMs: number;
  maxQuestionsInFlight: number;
}

/** The largest batch that makes sense: every point with a full list of the longest ids, and its numbers. */
export const MAX_BODY_BYTES = MAX_POINTS * (MAX_IDS * 67 + 300);
const SCOPE = 'drivers:read';
const REQUEST_ID = /^[A-Za-z0-9._:/+=@~-]{1,128}$/;
const BEARER = /^Bearer +([^\s]+) *$/i;

interface Route {
  operation: Operation;
  parameters: Parameters;
  pattern: RegExp;
}

export class Api {
  readonly #parts: ApiParts;
  readonly #routes: Route[];
  readonly #document: string;
  readonly #path = new Parameters(DriverIdPath);
  #questions = 0;

  constructor(parts: ApiParts) {
    this.#parts = parts;
    this.#document = JSON.stringify(parts.document);
    this.#routes = parts.operations.map((operation) => ({
      operation,
      parameters: new Parameters(operation.parameters),
      // Paths are looked up in the order of the operations: `nearby` before `{id}`.
      pattern: new RegExp(`^${operation.path.replace('{id}', '([^/]+)')}$`),
    }));
  }

  async answer(request: ApiRequest): Promise<ApiAnswer> {
    const startedAt = performance.now();
    const requestId = REQUEST_ID.test(request.requestId) ? request.requestId : randomUUID();
    const measured = { route: 'none' };
    let answer: ApiAnswer;
    try {
      answer = await this.#answer(request, measured);
    } catch (error) {
      answer = problemAnswer(this.#problemOf(error, requestId), requestId);
    }
    const seconds = (performance.now() - startedAt) / 1_000;
    const status = `${Math.floor(answer.status / 100)}xx`;
    this.#parts.metrics.duration.observe({ route: measured.route, status }, seconds);
    return { ...answer, headers: { ...answer.headers, 'x-request-id': requestId } };
  }

  async #answer(request: ApiRequest, measured: { route: string }): Promise<ApiAnswer> {
    const path = decodedPath(request.path);
    const file = this.#parts.page.get(path);
    if (file || path === '/openapi.json') {
      measured.route = file ? 'page' : path;
      allow(request.method, ['GET']);
      return file ? fileAnswer(file, request.ifNoneMatch) : jsonAnswer(JSON_TYPE, this.#document);
    }
    const matching = this.#routes.filter(({ pattern }) => pattern.test(path));
    const [first] = matching;
    if (!first) throw new Problem(404, 'not_found', 'there is nothing here: see /openapi.json');
    measured.route = first.operation.path;
    // The first that fits decides, so that POST to `nearby` is not taken for a driver of that name.
    const samePath = matching.filter(({ operation }) => operation.path === first.operation.path);
    const wanted = request.method === 'HEAD' ? 'GET' : request.method;
    const route = samePath.find(({ operation }) => operation.method === wanted);
    if (!route) {
      allow(
        request.method,
        samePath.map(({ operation }) => operation.method),
      );
      throw new Error('a method that is allowed has no route');
    }
    return this.#ask(route, path, request);
  }

  async #ask(route: Route, path: string, request: ApiRequest): Promise<ApiAnswer> {
    const { operation } = route;
    await this.#authorize(request.authorization);
    const type = chooseType(request.accept, Object.keys(operation.answers));
    if (!type) {
      const offered = Object.keys(operation.answers).join(', ');
      throw new Problem(406, 'not_acceptable', `the answer is there as ${offered}`);
    }
    const parameters = await readParameters(route, request);
    const [, id] = route.pattern.exec(path) ?? [];
    const inPath = (id === undefined ? { id: '' } : this.#path.fromJson({ id })) as { id: string };
    const weight = operation.weight(parameters);
    this.#admit(weight);
    const asking = new Asking(this.#parts.lanes, this.#parts.requestDeadlineMs);
    try {
      const body = await operation.answer({ parameters, path: inPath, type, asking });
      return jsonAnswer(type, JSON.stringify(body));
    } finally {
      asking.end();
      this.#release(weight);
      this.#parts.metrics.asks.observe({ route: operation.path }, asking.asks);
    }
  }

  async #authorize(authorization: string): Promise<void> {
    const token = BEARER.exec(authorization)?.[1] ?? '';
    if (token === '' && authorization !== '') {
      throw tokenProblem(new TokenError('token_invalid', 'the Authorization header is not `Bearer <token>`'));
    }
    try {
      await this.#parts.verify(token, SCOPE);
    } catch (error) {
      throw error instanceof TokenError ? tokenProblem(error) : error;
    }
  }

  #admit(weight: number): void {
    const { maxQuestionsInFlight, metrics } = this.#parts;
    if (this.#questions + weight > maxQuestionsInFlight) {
      const detail = `more than ${maxQuestionsInFlight} questions at once (each point of a batch is one)`;
      throw unavailable('overloaded', detail);
    }
    this.#questions += weight;
    metrics.inFlight.set(this.#questions);
  }

  #release(weight: number): void {
    this.#questions -= weight;
    this.#parts.metrics.inFlight.set(this.#questions);
  }

  #problemOf(error: unknown, requestId: string): Problem {
    if (error instanceof Problem) return error;
    this.#parts.log.error({ err: error, request_id: requestId }, 'a request failed');
    return new Problem(500, 'internal', 'something is wrong on our side');
  }
}

async function readParameters(route: Route, request: ApiRequest): Promise<unknown> {
  if (route.operation.method === 'GET') return route.parameters.fromQuery(request.query);
  if (request.query !== '') {
    const detail = 'is in the address, but this request takes its parameters in the body';
    const names = [...new Set(new URLSearchParams(request.query).keys())];
    throw badParameters(names.map((parameter) => ({ parameter, code: 'unknown', detail })));
  }
  const [mediaType = ''] = request.contentType.split(';');
  if (mediaType.trim().toLowerCase() !== JSON_TYPE) {
    throw new Problem(415, 'unsupported_media_type', `the body must be ${JSON_TYPE}`, {
      headers: { 'accept-post': JSON_TYPE },
    });
  }
  return route.parameters.fromJson(parseJson((await request.body()).toString('utf8')));
}

function decodedPath(path: string): string {
  try {
    return decodeURIComponent(path);
  } catch {
    throw new Problem(404, 'not_found', 'the address is not well encoded');
  }
}

function allow(method: string, allowed: readonly string[]): void {
  const all = allowed.includes('GET') ? [...allowed, 'HEAD'] : allowed;
  if (all.includes(method)) return;
  const headers = { allow: all.join(', ') };
  throw new Problem(405, 'method_not_allowed', `${all.join(' or ')}, not ${method}`, { headers });
}

function tokenProblem(error: TokenError): Problem {
  const { code, message } = error;
  if (code === 'keys_unavailable' || code === 'key_unknown') return unavailable(code, message);
  let challenge = 'Bearer realm="whereabouts"';
  if (code === 'token_scope') challenge += `, error="insufficient_scope", scope="${SCOPE}"`;
  // RFC 6750, 3.1: no error code where there was no token.
  else if (code !== 'token_missing') challenge += ', error="invalid_token"';
  const headers = { 'www-authenticate': challenge };
  return new Problem(code === 'token_scope' ? 403 : 401, code, message, { headers });
}

function jsonAnswer(type: string, body: string): ApiAnswer {
  const headers = { 'content-type': type, 'cache-control': 'no-store', vary: 'Accept, Authorization' };
  return { status: 200, headers, body };
}

function fileAnswer(file: PageFile, ifNoneMatch: string): ApiAnswer {
  if (ifNoneMatch === file.etag) return { status: 304, headers: file.headers, body: '' };
  return { status: 200, headers: file.headers, body: file.body };
}

function problemAnswer(problem: Problem, requestId: string): ApiAnswer {
  const headers = {
    'content-type': 'application/problem+json',
    'cache-control': 'no-store',
    ...problem.headers,
  };
  return { status: problem.status, headers, body: JSON.stringify(problem.body(requestId)) };
}

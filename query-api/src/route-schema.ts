// The part of a route's schema that describes answers: types with their bodies, and problems, both those of every
// question and those of the route. Each has an example.

import { STATUS_CODES } from 'node:http';
import type { TSchema } from 'typebox';
import Type from 'typebox';
import { sampler } from './samples.js';
import { COMPONENTS, ProblemBody } from './schemas.js';

export const JSON_TYPE = 'application/json';
export const GEOJSON_TYPE = 'application/geo+json';
export const PROBLEM_TYPE = 'application/problem+json';

interface Response {
  description: string;
  headers: Record<string, object>;
  content: Record<string, { schema: TSchema; example: unknown }>;
}

const PROBLEMS: Record<number, string> = {
  400: 'Parameters that are unknown, repeated, missing or out of range, each by name in `errors`',
  401: 'No token, or one that cannot be verified',
  403: 'The token lacks the scope `drivers:read`',
  405: 'Another method: `Allow` lists the supported ones',
  406: 'None of the types that the caller accepts',
  408: 'The request did not arrive in time',
  429: 'This caller alone asks too much: retry after `Retry-After`',
  431: 'The address and the headers together have more than 32 KiB (so there is no 414)',
  500: 'Something is wrong on our side',
  503: 'Overloaded: too many questions at once',
  505: 'Another version than HTTP/1.0 and HTTP/1.1',
};
const BODY_PROBLEMS: Record<number, string> = {
  413: 'The body is too large',
  415: 'The body is not application/json',
};
/** An example of such a problem: one of the codes of that status, and its detail. */
const EXAMPLES: Record<number, [code: string, detail: string]> = {
  401: ['token_missing', 'the token is missing'],
  403: ['token_scope', 'the token lacks the scope drivers:read'],
  404: ['driver_not_found', 'no position of driver driver-1 is known'],
  405: ['method_not_allowed', 'GET or HEAD, not DELETE'],
  406: ['not_acceptable', 'the answer is available as application/json, application/geo+json'],
  408: ['request_timeout', 'the request did not arrive in time'],
  413: ['body_too_large', 'the body has more than 97000 bytes'],
  415: ['unsupported_media_type', 'the body must be application/json'],
  429: ['rate_limited', 'this caller has asked too much'],
  431: ['headers_too_large', 'the address and the headers together are too long'],
  500: ['internal', 'something is wrong on our side'],
  503: ['region_unavailable', 'no partition that holds this region can be seen'],
  505: ['version_not_supported', 'HTTP/1.0 and HTTP/1.1 are spoken here'],
};
const text = (description: string, example: string) => ({
  description,
  type: 'string',
  examples: [example],
});
const challenge = text('What is wrong with the token (RFC 6750)', 'Bearer realm="whereabouts"');
const retryAfter = text('How long to wait, in seconds', '1');
const PROBLEM_HEADERS: Record<number, Record<string, object>> = {
  401: { 'WWW-Authenticate': challenge },
  403: { 'WWW-Authenticate': challenge },
  405: { Allow: text('The supported methods', 'GET, HEAD') },
  415: { 'Accept-Post': text('The types that a body may have', JSON_TYPE) },
  429: { 'Retry-After': retryAfter },
  503: { 'Retry-After': retryAfter },
};
const sampleOf = sampler(COMPONENTS);

/** `answers`: by media type, the first if the caller has no preference. */
export function responses(
  answers: Record<string, TSchema>,
  problems: Record<number, string>,
  { hasBody } = { hasBody: false },
): Record<number, Response> {
  const all = { ...PROBLEMS, ...(hasBody ? BODY_PROBLEMS : {}), ...problems };
  const refused = Object.entries(all).map(([status, description]) => [
    status,
    problemResponse(Number(status), description),
  ]);
  const content = Object.entries(answers).map(([type, schema]) => [
    type,
    { schema: mentioned(schema), example: sampleOf(schema) },
  ]);
  const answered = response('The answer', Object.fromEntries(content));
  return { 200: answered, ...Object.fromEntries(refused) };
}

/** The types that a route answers with. */
export function typesOf(schema: unknown): string[] {
  const responses = (schema as { response?: Record<number, Response> }).response;
  return Object.keys(responses?.[200]?.content ?? {});
}

function problemResponse(status: number, description: string): Response {
  const content = { [PROBLEM_TYPE]: { schema: mentioned(ProblemBody), example: problemExample(status) } };
  return response(description, content, PROBLEM_HEADERS[status]);
}

function problemExample(status: number): object {
  const { missing: _, ...sample } = sampleOf(ProblemBody) as Record<string, unknown>;
  const [code, detail] = EXAMPLES[status] ?? [];
  // For the parts it is a 400.
  return code ? { ...sample, title: STATUS_CODES[status], status, detail, code, errors: [] } : sample;
}

function response(
  description: string,
  content: Response['content'],
  headers: Record<string, object> = {},
): Response {
  const requestId = text('As it was sent, or generated', '63b167fc-5d2f-4c43-8f0e-7a3a5a4f6b1e');
  return { description, headers: { 'X-Request-Id': requestId, ...headers }, content };
}

/** By its name, as /openapi.json has the bodies as components. */
function mentioned(schema: TSchema): TSchema {
  return Type.Ref((schema as { $id: string }).$id);
}

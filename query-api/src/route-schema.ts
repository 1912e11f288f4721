// The part of a route's schema that says what is answered: types with their bodies, and the problems, those that every
// question can meet and those of its own.

import type { TSchema } from 'typebox';
import Type from 'typebox';
import { ProblemBody } from './schemas.js';

export const JSON_TYPE = 'application/json';
export const GEOJSON_TYPE = 'application/geo+json';
export const PROBLEM_TYPE = 'application/problem+json';

interface Response {
  description: string;
  headers: Record<string, object>;
  content: Record<string, { schema: TSchema }>;
}

const PROBLEMS: Record<number, string> = {
  400: 'Parameters that are unknown, repeated, missing or out of range, each by name in `errors`',
  401: 'No token, or one that cannot be verified',
  403: 'The token lacks the scope `drivers:read`',
  405: 'Another method: `Allow` has those that there are',
  406: 'None of the types that the caller accepts',
  408: 'The request did not arrive in time',
  429: 'This caller alone asks too much: again after `Retry-After`',
  431: 'The address and the headers together have more than 32 KiB',
  500: 'Something is wrong on our side',
  503: 'Overloaded: too many questions at once',
};
const BODY_PROBLEMS: Record<number, string> = {
  413: 'The body is too large',
  415: 'The body is not application/json',
};
const text = { type: 'string' };
const PROBLEM_HEADERS: Record<number, Record<string, object>> = {
  401: { 'WWW-Authenticate': { description: 'RFC 6750', ...text } },
  403: { 'WWW-Authenticate': { description: 'RFC 6750', ...text } },
  405: { Allow: { description: 'The methods that there are', ...text } },
  415: { 'Accept-Post': { description: 'The types that a body may have', ...text } },
  429: { 'Retry-After': { description: 'In seconds', ...text } },
  503: { 'Retry-After': { description: 'In seconds', ...text } },
};

/** `answers`: by media type, the first where the caller does not care. */
export function responses(
  answers: Record<string, TSchema>,
  problems: Record<number, string>,
  { hasBody } = { hasBody: false },
): Record<number, Response> {
  const all = { ...PROBLEMS, ...(hasBody ? BODY_PROBLEMS : {}), ...problems };
  const refused = Object.entries(all).map(([status, description]) => [
    status,
    response(description, { [PROBLEM_TYPE]: ProblemBody }, PROBLEM_HEADERS[Number(status)]),
  ]);
  return { 200: response('The answer', answers), ...Object.fromEntries(refused) };
}

/** The types that a route answers with. */
export function typesOf(schema: unknown): string[] {
  const responses = (schema as { response?: Record<number, Response> }).response;
  return Object.keys(responses?.[200]?.content ?? {});
}

function response(
  description: string,
  bodies: Record<string, TSchema>,
  headers: Record<string, object> = {},
): Response {
  const content = Object.entries(bodies).map(([type, schema]) => [type, { schema: mentioned(schema) }]);
  const requestId = { description: 'As it came, or made', ...text };
  return {
    description,
    headers: { 'X-Request-Id': requestId, ...headers },
    content: Object.fromEntries(content),
  };
}

/** By its name, as /openapi.json has the bodies as components. */
function mentioned(schema: TSchema): TSchema {
  return Type.Ref((schema as { $id: string }).$id);
}

// Explains which parameters were refused, and why. It decides nothing: the schema has refused the request already. There
// is always at least one line.

import type { ParameterError } from './problem.js';
import { propertyOf, type Schema } from './schema-shape.js';
import { nearestName } from './spelling.js';

// With more errors than this, the caller probably sent something else altogether.
export const MAX_ERRORS = 20;
const MAX_NAME_CHARS = 64;

/** An error in the validator's format. */
export interface SchemaError {
  keyword: string;
  instancePath: string;
  params: unknown;
  message: string;
}

/**
 * As much of a value as the explanation needs: the validator looks at each item of a list of 40,000, which takes 70 ms.
 */
export function excerptOf(schema: Schema | undefined, value: unknown): unknown {
  if (Array.isArray(value)) {
    const { items, maxItems = 0 } = schema ?? {};
    // Limits the depth, as callers may nest values deeper.
    return items ? value.slice(0, maxItems + 1).map((item) => excerptOf(items, item)) : [];
  }
  if (typeof value !== 'object' || value === null) return value;
  const names = Object.keys(value);
  const known = names.filter((name) => propertyOf(schema, name));
  const unknown = names.filter((name) => !propertyOf(schema, name)).slice(0, MAX_ERRORS);
  const entries = [...known, ...unknown].map((name): [string, unknown] => {
    const property = propertyOf(schema, name);
    return [name, property ? excerptOf(property, (value as Record<string, unknown>)[name]) : null];
  });
  return Object.fromEntries(entries);
}

type Hints = Map<string, string>;

export function explained(
  schema: Schema,
  known: readonly ParameterError[],
  errors: readonly SchemaError[],
): ParameterError[] {
  const lines = new Map(known.map((line) => [keyOf(line), line]));
  const hints: Hints = new Map();
  for (const error of errors) {
    if (lines.size >= MAX_ERRORS) break;
    for (const line of explain(error, schema, hints)) lines.set(keyOf(line), line);
  }
  const all = [...lines.values()].slice(0, MAX_ERRORS);
  return all.length > 0
    ? all
    : [{ parameter: 'body', code: 'bad_format', detail: 'is not what /openapi.json says' }];
}

/** Repeated explanations are dropped. */
function keyOf({ code, parameter }: ParameterError): string {
  return `${code} ${parameter}`;
}

function explain(error: SchemaError, schema: Schema, hints: Hints): ParameterError[] {
  const parts = error.instancePath.split('/').slice(1).map(unescaped);
  const parameter = nameOf(parts);
  const params = error.params as Record<string, unknown>;
  switch (error.keyword) {
    // The validator reports once for the object, with all names, and once for each name; of many it reports only the
    // latter.
    case 'additionalProperties':
      return (params.additionalProperties as string[])
        .slice(0, MAX_ERRORS)
        .map((name) => unknownName([...parts, name], schema, hints));
    case 'boolean':
      return [unknownName(parts, schema, hints)];
    case 'required':
      return (params.requiredProperties as string[]).map((name) => ({
        parameter: nameOf([...parts, name]),
        code: 'missing',
        detail: 'is missing',
      }));
    case 'type':
      return [
        { parameter: parameter || 'body', code: 'wrong_type', detail: `must be ${article(params.type)}` },
      ];
    case 'minimum':
    case 'maximum':
      return [{ parameter, code: 'out_of_range', detail: `must be ${params.comparison} ${params.limit}` }];
    case 'enum': {
      const allowed = (params.allowedValues as string[]).join(', ');
      return [{ parameter, code: 'not_allowed', detail: `must be one of ${allowed}` }];
    }
    case 'minItems':
    case 'maxItems': {
      const bound = error.keyword === 'minItems' ? 'at least' : 'at most';
      return [{ parameter, code: 'bad_length', detail: `must have ${bound} ${params.limit} items` }];
    }
    case 'pattern':
      return [{ parameter, code: 'bad_format', detail: `must match ${params.pattern}` }];
    default:
      return [{ parameter, code: 'bad_format', detail: error.message }];
  }
}

function unknownName(parts: readonly string[], schema: Schema, hints: Hints): ParameterError {
  const parents = parts.slice(0, -1);
  const name = parts.at(-1) ?? '';
  const object = schemaAt(schema, parents);
  const parameter = nameOf([...parents, name.slice(0, MAX_NAME_CHARS)]);
  return { parameter, code: 'unknown', detail: `is not a parameter: ${hintFor(name, object, hints)}` };
}

/** Looked up once, as the same name may appear in each point of a batch. */
function hintFor(name: string, object: Schema | undefined, hints: Hints): string {
  const known = Object.keys(object?.properties ?? {});
  const key = `${name} of ${known.join()}`;
  let hint = hints.get(key);
  if (hint === undefined) {
    const meant = nearestName(name, known);
    hint = meant ? `did you mean ${meant}?` : `known are ${known.join(', ') || 'none'}`;
    hints.set(key, hint);
  }
  return hint;
}

/** `points`, `3`, `lat` -> `points[3].lat` */
function nameOf(parts: readonly string[]): string {
  return parts.reduce((path, part) => {
    if (/^\d+$/.test(part) && path !== '') return `${path}[${part}]`;
    return path === '' ? part : `${path}.${part}`;
  }, '');
}

function schemaAt(schema: Schema, parts: readonly string[]): Schema | undefined {
  let at: Schema | undefined = schema;
  for (const part of parts) at = /^\d+$/.test(part) ? at?.items : propertyOf(at, part);
  return at;
}

/** RFC 6901. */
function unescaped(part: string): string {
  return part.replaceAll('~1', '/').replaceAll('~0', '~');
}

function article(type: unknown): string {
  return `${/^[aeiou]/.test(String(type)) ? 'an' : 'a'} ${type}`;
}

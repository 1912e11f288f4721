// From what a caller wrote to what a schema describes. All that is wrong is said at once, by name.

import type { TObject, TSchema } from 'typebox';
import { Compile, type Validator } from 'typebox/compile';
import { badParameters, type ParameterError, Problem } from './problem.js';
import { nearestName } from './spelling.js';

/** A number as people and programs write it: no hexadecimal, no `Infinity`, no spaces. */
const NUMBER = /^-?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i;
// More of them are not worth a line each: the caller sent something else altogether.
const MAX_ERRORS = 20;

type Schema = TSchema & {
  type?: string;
  default?: unknown;
  items?: Schema;
  properties?: Record<string, Schema>;
};

interface SchemaError {
  keyword: string;
  instancePath: string;
  params: Record<string, unknown>;
  message: string;
}

export class Parameters {
  readonly schema: TObject;
  readonly #validator: Validator;

  constructor(schema: TObject) {
    this.schema = schema;
    this.#validator = Compile(schema) as unknown as Validator;
  }

  /** A query string. An empty value counts as not given. */
  fromQuery(query: string): unknown {
    const properties = this.schema.properties as Record<string, Schema>;
    // A map first: a parameter named __proto__ must be seen, and refused.
    const given = new Map<string, unknown>();
    const errors: ParameterError[] = [];
    for (const [name, text] of new URLSearchParams(query)) {
      if (given.has(name)) {
        errors.push({ parameter: name, code: 'repeated', detail: 'is given more than once' });
      } else {
        const schema = Object.hasOwn(properties, name) ? properties[name] : undefined;
        given.set(name, schema ? fromText(schema, text) : text);
      }
    }
    const known = [...given].filter(([name, value]) => value !== '' || !Object.hasOwn(properties, name));
    return this.#check(Object.fromEntries(known), errors);
  }

  /** A body that is JSON already. */
  fromJson(value: unknown): unknown {
    return this.#check(value, []);
  }

  #check(value: unknown, errors: ParameterError[]): unknown {
    const complete = withDefaults(this.schema as Schema, value);
    if (!this.#validator.Check(complete)) {
      const found = this.#validator.Errors(complete) as unknown as SchemaError[];
      errors.push(...found.flatMap((error) => explain(error, this.schema as Schema)));
    }
    if (errors.length > 0) throw badParameters(errors.slice(0, MAX_ERRORS));
    return complete;
  }
}

export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new Problem(400, 'bad_body', `the body is not JSON: ${(error as Error).message}`);
  }
}

/** What cannot be understood stays text, and the schema refuses it by name. */
function fromText(schema: Schema, text: string): unknown {
  if (text === '') return '';
  if (schema.type === 'array') return text.split(',').map((item) => fromText(schema.items as Schema, item));
  if (schema.type !== 'number' && schema.type !== 'integer') return text;
  return NUMBER.test(text) ? Number(text) : text;
}

function withDefaults(schema: Schema, value: unknown): unknown {
  if (schema.type === 'array' && Array.isArray(value)) {
    return value.map((item) => withDefaults(schema.items as Schema, item));
  }
  if (schema.type !== 'object' || typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return value;
  const complete: Record<string, unknown> = { ...value };
  for (const [name, property] of Object.entries(schema.properties ?? {})) {
    if (!Object.hasOwn(complete, name)) {
      if (property.default !== undefined) complete[name] = property.default;
    } else complete[name] = withDefaults(property, complete[name]);
  }
  return complete;
}

function explain(error: SchemaError, schema: Schema): ParameterError[] {
  const parameter = nameOf(error.instancePath);
  const { params, keyword } = error;
  switch (keyword) {
    case 'additionalProperties':
      return (params.additionalProperties as string[]).map((name) =>
        unknownName(parameter, name, schemaAt(schema, error.instancePath)),
      );
    case 'required':
      return (params.requiredProperties as string[]).map((name) => ({
        parameter: join(parameter, name),
        code: 'missing',
        detail: 'is missing',
      }));
    case 'boolean': // a second voice on additionalProperties
      return [];
    case 'type':
      return [
        { parameter: parameter || 'body', code: 'wrong_type', detail: `must be ${article(params.type)}` },
      ];
    case 'minimum':
    case 'maximum':
      return [{ parameter, code: 'out_of_range', detail: `must be ${params.comparison} ${params.limit}` }];
    case 'enum':
      return [
        {
          parameter,
          code: 'not_allowed',
          detail: `must be one of ${(params.allowedValues as string[]).join(', ')}`,
        },
      ];
    case 'minItems':
    case 'maxItems': {
      const bound = keyword === 'minItems' ? 'at least' : 'at most';
      return [{ parameter, code: 'bad_length', detail: `must have ${bound} ${params.limit} items` }];
    }
    case 'pattern':
      return [{ parameter, code: 'bad_format', detail: `must match ${params.pattern}` }];
    default:
      return [{ parameter, code: 'bad_format', detail: error.message }];
  }
}

function unknownName(parent: string, name: string, schema: Schema | undefined): ParameterError {
  const known = Object.keys(schema?.properties ?? {});
  const meant = nearestName(name, known);
  const shown = name.slice(0, 64);
  const hint = meant ? `did you mean ${meant}?` : `known are ${known.join(', ') || 'none'}`;
  return { parameter: join(parent, shown), code: 'unknown', detail: `is not a parameter: ${hint}` };
}

/** `/points/3/lat` -> `points[3].lat` */
function nameOf(instancePath: string): string {
  return instancePath
    .split('/')
    .slice(1)
    .reduce((path, part) => (/^\d+$/.test(part) ? `${path}[${part}]` : join(path, part)), '');
}

function join(parent: string, name: string): string {
  return parent === '' ? name : `${parent}.${name}`;
}

function schemaAt(schema: Schema, instancePath: string): Schema | undefined {
  let at: Schema | undefined = schema;
  for (const part of instancePath.split('/').slice(1)) {
    at = /^\d+$/.test(part) ? at?.items : at?.properties?.[part];
  }
  return at;
}

function article(type: unknown): string {
  return `${/^[aeiou]/.test(String(type)) ? 'an' : 'a'} ${type}`;
}

// Fastify's validator for every part of a request. It converts the text that a caller sent, then checks it.
//
// The schema alone decides: a value that it does not accept is refused, even if we cannot explain why. The explanation
// is written afterwards, for people, and is limited in length.

import type { FastifySchemaCompiler } from 'fastify';
import type { TSchema } from 'typebox';
import { Compile } from 'typebox/compile';
import { Settings } from 'typebox/system';
import { renamer } from './aliases.js';
import { excerptOf, explained, MAX_ERRORS } from './explanation.js';
import { badParameters, type ParameterError } from './problem.js';
import { aliasesOf, asWritten, defaultsOf, propertyOf, type Schema } from './schema-shape.js';

/** A number as people and programs write it: no hexadecimal, no `Infinity`, no spaces. */
const NUMBER = /^-?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i;

/** As Fastify's parser leaves it: a repeated name has a list. */
type Query = Readonly<Record<string, string | string[]>>;

export const compileValidator: FastifySchemaCompiler<TSchema> = ({ schema, httpPart }) => {
  // Unknown names are reported twice each.
  Settings.Set({ maxErrors: 3 * MAX_ERRORS });
  const shape = asWritten(schema as Schema);
  const validator = Compile(shape as TSchema);
  const fill = defaultsOf(shape);
  const rename = renamer(shape);
  return (value) => {
    const refused: ParameterError[] = [];
    const read = httpPart === 'querystring' ? fromQuery(shape, value as Query, refused) : value;
    const renamed = rename?.(read);
    if (renamed) refused.push(...renamed.conflicts.slice(0, MAX_ERRORS));
    const given = renamed ? renamed.value : read;
    if (validator.Check(given) && refused.length === 0) return { value: fill ? fill(given) : given };
    const lines = explained(shape, refused, validator.Errors(excerptOf(shape, given)));
    const asGiven = (parameter: string) => renamed?.written.get(parameter) ?? parameter;
    return {
      error: badParameters(lines.map((line) => ({ ...line, parameter: asGiven(line.parameter) }))),
    };
  };
};

/** A list may be written with commas, by repeating its name, or both. */
function fromQuery(shape: Schema, query: Query, repeated: ParameterError[]): unknown {
  const given: [string, unknown][] = [];
  const aliases = aliasesOf(shape);
  for (const [name, value] of Object.entries(query)) {
    const schema = propertyOf(shape, aliases.get(name) ?? name);
    const texts = typeof value === 'string' ? [value] : value;
    if (schema?.type === 'array') {
      const items = texts.filter((text) => text !== '').flatMap((text) => text.split(','));
      if (items.length > 0 || schema.minItems)
        given.push([name, items.map((item) => fromText(schema.items, item))]);
    } else {
      const [text = ''] = texts;
      if (texts.length > 1) {
        repeated.push({ parameter: name, code: 'repeated', detail: 'is given more than once' });
      }
      given.push([name, fromText(schema, text)]);
    }
  }
  // Own properties only, so that a parameter named __proto__ is seen, and refused.
  return Object.fromEntries(given);
}

/** What cannot be parsed stays text, and the schema refuses it by name. */
function fromText(schema: Schema | undefined, text: string): unknown {
  const isNumeric = schema?.type === 'number' || schema?.type === 'integer';
  return isNumeric && NUMBER.test(text) ? Number(text) : text;
}

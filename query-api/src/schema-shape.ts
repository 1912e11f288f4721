// The parts of a JSON schema that we read ourselves: to parse a query, to fill in defaults, to name what is wrong.

/** Other names of a parameter: an extension that OpenAPI passes on. */
export const ALIASES = 'x-aliases';

/**
 * The pattern that the document gives for a text of which more forms are accepted: everything that matches is accepted.
 * Tools that make requests from the document need it; the handler's parser decides about callers.
 */
export const DOCUMENTED_PATTERN = 'x-documented-pattern';

export interface Schema {
  $ref?: string;
  title?: string;
  description?: string;
  type?: string;
  [ALIASES]?: readonly string[];
  [DOCUMENTED_PATTERN]?: string;
  pattern?: string;
  minLength?: number;
  minItems?: number;
  default?: unknown;
  items?: Schema;
  maxItems?: number;
  properties?: Record<string, Schema>;
  required?: string[];
  oneOf?: Schema[];
}

/** Not inherited properties: `constructor` is no property of ours. */
export function propertyOf(schema: Schema | undefined, name: string): Schema | undefined {
  const properties = schema?.properties ?? {};
  return Object.hasOwn(properties, name) ? properties[name] : undefined;
}

/** Of the parameters of a query. */
export function withDocumentedPatterns(schema: Schema): Schema {
  const entries = Object.entries(schema.properties ?? {}).map(([name, one]) => {
    const { [DOCUMENTED_PATTERN]: pattern, ...rest } = one;
    return [name, pattern === undefined ? one : { ...rest, pattern }];
  });
  return { ...schema, properties: Object.fromEntries(entries) };
}

/** Maps each other name of a property to its own. */
export function aliasesOf({ properties }: Schema): Map<string, string> {
  const named = Object.entries(properties ?? {});
  return new Map(
    named.flatMap(([name, one]) => (one[ALIASES] ?? []).map((alias): [string, string] => [alias, name])),
  );
}

/** A handler gets every parameter that has a default; a caller need not give it. */
export function asWritten(schema: Schema): Schema {
  const { properties, items, required } = schema;
  const written = Object.entries(properties ?? {}).map(([name, one]) => [name, asWritten(one)]);
  return {
    ...schema,
    ...(items ? { items: asWritten(items) } : {}),
    ...(properties ? { properties: Object.fromEntries(written) } : {}),
    ...(required ? { required: required.filter((name) => properties?.[name]?.default === undefined) } : {}),
  };
}

/** Fills in defaults. */
export type Fill = (value: unknown) => unknown;

/** For values that are complete as written; null if the schema has no defaults. */
export function defaultsOf(schema: Schema): Fill | null {
  if (schema.type === 'array') {
    const fill = schema.items ? defaultsOf(schema.items) : null;
    return fill && ((value) => (value as unknown[]).map(fill));
  }
  const properties = Object.entries(schema.properties ?? {});
  const given = properties.filter(([, one]) => one.default !== undefined);
  const defaults = Object.fromEntries(given.map(([name, one]) => [name, one.default]));
  const below = properties.flatMap(([name, one]) => {
    const fill = defaultsOf(one);
    return fill ? [{ name, fill }] : [];
  });
  if (given.length === 0 && below.length === 0) return null;
  return (value) => {
    // Measured: spreading takes four times as long. (As written, the object has no __proto__ property that could be
    // set.)
    const complete: Record<string, unknown> = Object.assign({}, defaults, value);
    for (const { name, fill } of below) if (name in complete) complete[name] = fill(complete[name]);
    return complete;
  };
}

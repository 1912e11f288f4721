// What of a JSON schema is looked at by hand: to read a query, to fill in defaults, to name what is wrong.

export interface Schema {
  type?: string;
  default?: unknown;
  items?: Schema;
  properties?: Record<string, Schema>;
  required?: string[];
}

/** Not what an object inherits: `constructor` is no property of ours. */
export function propertyOf(schema: Schema | undefined, name: string): Schema | undefined {
  const properties = schema?.properties ?? {};
  return Object.hasOwn(properties, name) ? properties[name] : undefined;
}

// Parameters with a second name: `lng` for `lon`. Schemas and handlers know the first name only, and every generated
// client sends that one. The second name is renamed before validation, and refusals use the name that the caller wrote.

import type { ParameterError } from './problem.js';
import { ALIASES, aliasesOf, type Schema } from './schema-shape.js';

export interface Renamed {
  value: unknown;
  /** Names that were given in both forms. */
  conflicts: ParameterError[];
  /** Maps the name in the schema to the name the caller wrote, each with its path. */
  written: Map<string, string>;
}

type Rename = (value: unknown, path: string, to: Omit<Renamed, 'value'>) => unknown;

/** Null if nothing in the schema has a second name. */
export function renamer(schema: Schema): ((value: unknown) => Renamed) | null {
  const rename = renameOf(schema);
  if (!rename) return null;
  return (value) => {
    const noted = { conflicts: [], written: new Map<string, string>() };
    return { value: rename(value, '', noted), ...noted };
  };
}

function renameOf(schema: Schema): Rename | null {
  const { items, maxItems = 0, properties } = schema;
  if (items) {
    const each = renameOf(items);
    if (!each) return null;
    // A longer list is refused, whatever its contents.
    return (value, path, to) =>
      Array.isArray(value) && value.length <= maxItems
        ? value.map((item, i) => each(item, `${path}[${i}]`, to))
        : value;
  }
  const aliases = aliasesOf(schema);
  const below = Object.entries(properties ?? {}).flatMap(([name, property]) => {
    const rename = renameOf(property);
    return rename ? [{ name, rename }] : [];
  });
  if (aliases.size === 0 && below.length === 0) return null;
  return (value, path, to) => {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
    const prefix = path === '' ? '' : `${path}.`;
    const entries = Object.entries(value).flatMap(([key, one]): [string, unknown][] => {
      const name = aliases.get(key) ?? key;
      if (name !== key && Object.hasOwn(value, name)) {
        const detail = `means the same as ${name}: give one of them`;
        to.conflicts.push({ parameter: `${prefix}${key}`, code: 'conflict', detail });
        return [];
      }
      if (name !== key) to.written.set(`${prefix}${name}`, `${prefix}${key}`);
      const rename = below.find((other) => other.name === name)?.rename;
      return [[name, rename ? rename(one, `${prefix}${name}`, to) : one]];
    });
    // Own properties only: a member named __proto__ stays one, and is refused.
    return Object.fromEntries(entries);
  };
}

/** The schema as documented: an object with either name, each in its own form. */
export function withAliases(schema: Schema): Schema {
  const { items, properties, required = [] } = schema;
  if (items) return { ...schema, items: withAliases(items) };
  if (!properties) return schema;
  const inside = Object.entries(properties).map(([name, one]) => [name, withAliases(one)]);
  const plain = { ...schema, properties: Object.fromEntries(inside) as Record<string, Schema> };
  const aliases = aliasesOf(schema);
  if (aliases.size === 0) return plain;
  return { oneOf: [withoutNote(plain), ...[...aliases].map(([alias, name]) => renamed(plain, name, alias))] };

  function renamed(form: Schema, name: string, alias: string): Schema {
    const change = (one: string) => (one === name ? alias : one);
    const entries = Object.entries(form.properties ?? {}).map(([one, value]) => [change(one), value]);
    const title = `${form.title}${alias[0]?.toUpperCase()}${alias.slice(1)}`;
    const description = `${form.description}, with \`${alias}\` for \`${name}\``;
    const other = {
      ...form,
      title,
      description,
      properties: Object.fromEntries(entries),
      required: required.map(change),
    };
    return withoutNote(other);
  }
}

/** If each name has its own form, there is nothing left to note. */
function withoutNote(form: Schema): Schema {
  const entries = Object.entries(form.properties ?? {}).map(([name, { [ALIASES]: _, ...one }]) => [
    name,
    one,
  ]);
  return { ...form, properties: Object.fromEntries(entries) };
}

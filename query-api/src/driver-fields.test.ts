// Compares the driver in every answer with the table of fields.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FIELDS, type Field, jsonSchemaOf } from '@whereabouts/infra/fields';
import { COMPONENTS } from './schemas.js';

/** These belong to the connection, not to the place; the time is in answers as text. */
const NOT_SHOWN = ['session', 'seq', 'recorded_at_ms'];

interface Property {
  anyOf?: Property[];
  type?: string;
  enum?: unknown[];
  minimum?: number;
  maximum?: number;
  exclusiveMaximum?: number;
}

const driver = COMPONENTS.find((component) => (component as { $id?: string }).$id === 'Driver');
const properties = (driver as unknown as { properties: Record<string, Property> }).properties;

/** What a caller can rely on, according to the table, without notes. */
function boundsOf({ type, enum: values, minimum, maximum, exclusiveMaximum }: Property): Property {
  const bounds = { type, enum: values, minimum, maximum, exclusiveMaximum };
  return JSON.parse(JSON.stringify(values ? { type: 'string', enum: values } : bounds));
}

test('every field of a report is in the answers, within the same bounds, null where it may be absent', () => {
  for (const field of (FIELDS as readonly Field[]).filter(({ json }) => !NOT_SHOWN.includes(json))) {
    const property = properties[field.json];
    assert.ok(property, `${field.json} is not in the answers`);
    const [value, none] = property.anyOf ?? [property];
    assert.deepEqual(boundsOf(value as Property), jsonSchemaOf(field), field.json);
    assert.equal(none?.type, field.kind === 'measure' ? 'null' : undefined, field.json);
  }
});

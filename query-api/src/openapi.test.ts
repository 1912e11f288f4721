// /openapi.json on its own: what a client generator relies on.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { Validator } from '@seriousme/openapi-schema-validator';
import { evenPartitionMap } from '@whereabouts/infra/partition-map';
import { createLogger } from '@whereabouts/infra/service/log';
import { createMetrics } from '@whereabouts/infra/service/metrics';
import { Compile } from 'typebox/schema';
import { createApp } from './app.js';
import type { Ground } from './questions.js';

// No store is queried: this only describes operations.
const ground = { store: { map: evenPartitionMap(4) }, freshnessMs: 10_000 } as unknown as Ground;
const log = createLogger('query-api', 'silent');
const page = { lossBudgetMs: 10_000, mapStyleUrl: null };
const app = await createApp({
  ground,
  authorize: async () => ({ subject: 'nobody', tokenExpiresAtMs: 0 }),
  log,
  corsOrigins: [],
  page,
});
await app.ready();
const document = JSON.parse(JSON.stringify(app.swagger()));

function* everyObject(
  value: unknown,
  path = '#',
): Generator<[path: string, object: Record<string, unknown>]> {
  if (typeof value !== 'object' || value === null) return;
  if (!Array.isArray(value)) yield [path, value as Record<string, unknown>];
  for (const [key, child] of Object.entries(value)) yield* everyObject(child, `${path}/${key}`);
}

test('openapi: every endpoint of the contract, each operation with an id of its own', () => {
  assert.equal(document.openapi, '3.1.0');
  const operations = Object.entries(document.paths).flatMap(([path, item]) =>
    Object.keys(item as object).map((method) => `${method} ${path}`),
  );
  assert.deepEqual(operations, [
    'get /v1/drivers/nearby',
    'post /v1/drivers/nearby:batch',
    'get /v1/drivers/nearby/stream',
    'get /v1/drivers/live',
    'get /v1/drivers',
    'get /v1/drivers/{id}',
    'get /v1/supply',
    'get /v1/partitions',
  ]);
  const ids = [...everyObject(document.paths)].flatMap(([, object]) => object.operationId ?? []);
  assert.equal(new Set(ids).size, operations.length);
});

test('openapi: every reference leads somewhere, and every component is used', () => {
  const used = new Set<string>();
  for (const [path, { $ref }] of everyObject(document)) {
    if ($ref === undefined) continue;
    const name = String($ref).replace('#/components/schemas/', '');
    assert.ok(document.components.schemas[name], `${path} refers to ${$ref}`);
    used.add(name);
  }
  assert.deepEqual([...used].sort(), Object.keys(document.components.schemas).sort());
});

test('openapi: parameters say what is needed, their bounds and their defaults', () => {
  const parameters = document.paths['/v1/drivers/nearby'].get.parameters;
  const byName = Object.fromEntries(parameters.map((p: { name: string }) => [p.name, p]));
  const required = parameters.filter((p: { required: boolean }) => p.required);
  assert.deepEqual(
    required.map((p: { name: string }) => p.name),
    ['lat', 'lon'],
  );
  assert.deepEqual(byName.radius_m.schema, { type: 'number', minimum: 1, maximum: 50_000, default: 5_000 });
  assert.equal(byName.max_age_ms.schema.maximum, 10_000);
  assert.deepEqual([byName.exclude.style, byName.exclude.explode], ['form', false]);
  assert.equal(byName.lng, undefined);
  assert.deepEqual(byName.lon.schema['x-aliases'], ['lng']);
});

test('openapi: a point of a batch has lat with either lon or lng', () => {
  const { NearbyPoints, NearbyPoint, NearbyPointLng } = document.components.schemas;
  assert.deepEqual(NearbyPoint.required, ['lat', 'lon']);
  assert.deepEqual(NearbyPointLng.required, ['lat', 'lng']);
  const isFit = (point: object) => fits(NearbyPoints, { points: [point] });
  assert.deepEqual(
    [{ lat: 1, lon: 2 }, { lat: 1, lng: 2 }, { lat: 1 }, { lat: 1, lon: 2, lng: 2 }].map(isFit),
    [true, true, false, false],
  );
});

test('openapi: every operation documents its problems', () => {
  for (const [path, item] of Object.entries(document.paths)) {
    for (const { responses } of Object.values(
      item as Record<string, { responses: Record<string, unknown> }>,
    )) {
      for (const status of [200, 400, 401, 403, 405, 406, 408, 429, 431, 500, 503, 505]) {
        assert.ok(responses[status], `${path} ${status}`);
      }
    }
  }
});

test('openapi: the document is OpenAPI 3.1, by its official schema', async () => {
  const validator = new Validator();
  const result = await validator.validate(structuredClone(document));
  assert.deepEqual(result.errors ?? [], []);
  assert.equal(validator.version, '3.1');
});

test('openapi: there is one version: of the packages, the API, and the metric that says what runs', async () => {
  const manifest = (folder: string) =>
    JSON.parse(readFileSync(new URL(`../../${folder}package.json`, import.meta.url), 'utf8'));
  const { version, workspaces } = manifest('');
  assert.equal(document.info.version, version);
  for (const workspace of workspaces) assert.equal(manifest(`${workspace}/`).version, version, workspace);
  const metrics = await createMetrics('query-api', { commit: 'test' }).registry.metrics();
  assert.match(metrics, new RegExp(`^whereabouts_query_api_build_info\\{version="${version}",`, 'm'));
});

interface Described {
  description?: string;
  summary?: string;
  tags?: string[];
  example?: unknown;
  schema: Part;
}
interface Part {
  $ref?: string;
  type?: string;
  description?: string;
  examples?: unknown[];
  const?: unknown;
  items?: Part;
  properties?: Record<string, Part>;
  oneOf?: Part[];
}
interface Operation extends Described {
  parameters: (Described & { name: string })[];
  requestBody?: { content: Record<string, Described> };
  responses: Record<
    string,
    Described & { headers: Record<string, Described>; content: Record<string, Described> }
  >;
}

/** Parts without a description, or without an example that would help. */
function* bareParts(part: Part, path: string): Generator<string> {
  const { $ref, type, description, examples, properties, items, oneOf } = part;
  if ($ref) return;
  if (!description && !oneOf) yield `${path}: no description`;
  const isLeaf = !properties && !items && !oneOf && part.const === undefined;
  if (isLeaf && !examples) yield `${path}: no example`;
  if (type === 'array' && items?.properties) yield* bareParts({ description: '-', ...items }, `${path}[]`);
  for (const form of oneOf ?? items?.oneOf ?? []) yield* bareParts({ description: '-', ...form }, path);
  for (const [name, one] of Object.entries(properties ?? {})) yield* bareParts(one, `${path}.${name}`);
}

function* bare(operation: Operation, id: string, tags: Set<string>): Generator<string> {
  const { summary, description, parameters, requestBody, responses } = operation;
  if (!summary || !description) yield `${id}: no summary or no description`;
  if (operation.tags?.length !== 1 || !tags.has(operation.tags[0] as string)) yield `${id}: no known tag`;
  for (const one of parameters) {
    if (!one.description) yield `${id} ${one.name}: no description`;
    if (one.example === undefined) yield `${id} ${one.name}: no example`;
  }
  const bodies = { ...requestBody?.content };
  for (const { schema } of Object.values(bodies)) yield* bareParts(schema, `${id} body`);
  for (const [status, response] of Object.entries(responses)) {
    if (!response.description) yield `${id} ${status}: no description`;
    for (const [name, header] of Object.entries(response.headers)) {
      if (!header.description || !header.schema.examples) yield `${id} ${status} ${name}: bare`;
    }
    for (const [type, body] of Object.entries(response.content)) bodies[`${status} ${type}`] = body;
  }
  for (const [type, { schema, example }] of Object.entries(bodies)) {
    if (example === undefined) yield `${id} ${type}: no example`;
    else if (!fits(schema, example)) yield `${id} ${type}: the example is not as its schema says`;
  }
}

const fits = (schema: Part, value: unknown) =>
  Compile({ ...schema, components: document.components } as never).Check(value);

test('openapi: everything is described, and every example is as its schema says', () => {
  const tags = new Set<string>(document.tags.map((tag: { name: string }) => tag.name));
  const lacking: string[] = [];
  for (const tag of document.tags) if (!tag.description) lacking.push(`tag ${tag.name}`);
  for (const item of Object.values(document.paths) as Record<string, Operation & { operationId: string }>[]) {
    for (const operation of Object.values(item)) {
      lacking.push(...bare(operation, operation.operationId, tags));
      for (const { name, schema, example } of operation.parameters) {
        if (!fits(schema, example)) lacking.push(`${operation.operationId} ${name}: a bad example`);
      }
    }
  }
  for (const [name, component] of Object.entries<Part>(document.components.schemas)) {
    lacking.push(...bareParts(component, name));
    for (const [path, { examples = [], ...schema }] of everyObject(component)) {
      if (!('type' in schema) && !('anyOf' in schema)) continue;
      for (const example of examples as unknown[]) {
        if (!fits(schema as Part, example)) lacking.push(`${name} ${path}: a bad example`);
      }
    }
  }
  assert.deepEqual(lacking, []);
});

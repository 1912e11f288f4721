// /openapi.json as a document of its own: what a generator of clients relies on.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { evenPartitionMap } from '@whereabouts/infra/partition-map';
import { createLogger } from '@whereabouts/infra/service/log';
import { createApp } from './app.js';
import type { Ground } from './questions.js';

// Nothing is asked of the store: operations are only described here.
const ground = { store: { map: evenPartitionMap(4) }, freshnessMs: 10_000 } as unknown as Ground;
const log = createLogger('query-api', 'silent');
const app = await createApp({
  ground,
  authorize: async () => ({ subject: 'nobody', tokenExpiresAtMs: 0 }),
  log,
  corsOrigins: [],
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
    ['lat'],
  );
  assert.deepEqual(byName.radius_m.schema, { type: 'number', minimum: 1, maximum: 50_000, default: 5_000 });
  assert.equal(byName.max_age_ms.schema.maximum, 10_000);
  assert.deepEqual([byName.exclude.style, byName.exclude.explode], ['form', false]);
  const point =
    document.paths['/v1/drivers/nearby:batch'].post.requestBody.content['application/json'].schema.properties
      .points.items;
  assert.deepEqual(point.required, ['lat']);
});

test('openapi: every operation documents its problems', () => {
  for (const [path, item] of Object.entries(document.paths)) {
    for (const { responses } of Object.values(
      item as Record<string, { responses: Record<string, unknown> }>,
    )) {
      for (const status of [200, 400, 401, 403, 405, 406, 408, 429, 431, 500, 503]) {
        assert.ok(responses[status], `${path} ${status}`);
      }
    }
  }
});

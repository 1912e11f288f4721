// Sends random requests to every operation. A second validator checks each request against /openapi.json: what that
// schema refuses must be refused by the service, too.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { evenPartitionMap } from '@whereabouts/infra/partition-map';
import fc from 'fast-check';
import type { TSchema } from 'typebox';
import { Value } from 'typebox/value';
import type { DocumentedOperation, DocumentedParameter } from './fixtures/answer-check.js';
import { type Reply, type Running, startRunning, whenComplete } from './fixtures/running-service.js';
import { questionSchema } from './parameter-schemas.js';
import { compileValidator } from './validation.js';

const RUNS = 150;
const BATCH = '/v1/drivers/nearby:batch';
const AT = { lat: '52.23', lon: '21.01' };

let running: Running;

before(async () => {
  // This test is not about the rate or the share.
  const generous = { MAX_QUESTIONS_PER_S: '1000000', MAX_QUESTIONS_IN_FLIGHT_PER_SUBJECT: '400' };
  running = await startRunning(evenPartitionMap(4), generous);
  await whenComplete(running);
});
after(() => running.stop());

/** Names and texts in the order of the query, names perhaps repeated. */
type Query = [name: string, text: string][];

const unknownName = fc.oneof(
  fc.constantFrom('radius', 'constructor', '__proto__', 'toString', 'hasOwnProperty', 'x', 'ids[]', 'lat '),
  fc.string({ minLength: 1, maxLength: 8 }),
);
const text = fc.oneof(
  fc.constantFrom('52.2', '21', '10', '1', '0', '-1', '4', 'available', 'busy', 'd1', 'd1,d2', '0,0,1,1'),
  fc.constantFrom('', ' 1', '0x10', '1e999', 'NaN', '20000000', '100000', '1.5', 'a b', 'a,,b', ',', '1,2,3'),
  fc.integer().map(String),
  fc.double().map(String),
  fc.string({ maxLength: 12 }),
);

/** A text for each name that is useful there. */
const FIT: Record<string, string> = {
  ...{
    lat: '52.2',
    lon: '21',
    lng: '21',
    radius_m: '500',
    limit: '3',
    status: 'busy',
    services: '1',
    max_age_ms: '9000',
  },
  ...{ exclude: 'a,b', ids: 'd1,d2', bbox: '0,0,1,1' },
};

function queries(known: readonly string[]): fc.Arbitrary<Query> {
  const fit = known.map((one): [string, string] => [one, FIT[one] ?? '']);
  const name = fc.oneof({ weight: 20, arbitrary: fc.constantFrom(...known, 'lat') }, unknownName);
  const random = fc.tuple(name, text);
  const pair = fit.length > 0 ? fc.oneof({ weight: 6, arbitrary: fc.constantFrom(...fit) }, random) : random;
  const few = fc.uniqueArray(pair, { maxLength: 8, selector: ([one]) => one });
  const repeated = fc.array(fc.tuple(name, text), { maxLength: 4 });
  const many = fc.integer({ min: 1, max: 1_000 }).map((count) => {
    return Array.from({ length: count }, (_, i): [string, string] => [`u${i}`, '1']);
  });
  const noise = fc.oneof({ weight: 8, arbitrary: fc.constant<Query>([]) }, repeated, many);
  return fc.tuple(few, noise).map(([first, second]) => [...first, ...second]);
}

/** By the documentation alone. */
function isAccepted(operation: DocumentedOperation, query: Query): boolean {
  const inQuery = operation.parameters.filter((one) => one.in === 'query');
  const documented = new Map(inQuery.map((one) => [one.name, one]));
  const aliases = new Map(
    inQuery.flatMap((one) => (one.schema['x-aliases'] ?? []).map((alias) => [alias, one.name])),
  );
  const texts = new Map<string, string[]>();
  for (const [written, value] of query) {
    const name = aliases.get(written) ?? written;
    texts.set(name, [...(texts.get(name) ?? []), value]);
  }
  for (const [name, given] of texts) {
    const parameter = documented.get(name);
    if (!parameter) return false;
    const isList = parameter.schema.type === 'array';
    if (!isList && given.length > 1) return false;
    // An empty list is one without items.
    const filled = given.filter((value) => value !== '');
    const value = isList
      ? filled.flatMap((one) => one.split(',')).map((one) => typed(parameter.schema.items, one))
      : typed(parameter.schema, given[0] as string);
    if (!Value.Check(parameter.schema as TSchema, value)) return false;
  }
  return [...documented.values()].every(({ name, required }) => !required || texts.has(name));
}

function typed(schema: { type?: string } | undefined, value: string): unknown {
  if (schema?.type !== 'number' && schema?.type !== 'integer') return value;
  return /^-?(\d+(\.\d*)?|\.\d+)(e[-+]?\d+)?$/i.test(value) ? Number(value) : value;
}

const namesOf = ({ name, schema }: DocumentedParameter) => [name, ...(schema['x-aliases'] ?? [])];

function operationAt(path: string, method: string): DocumentedOperation {
  const operation = running.check.document.paths[path]?.[method];
  assert.ok(operation, `${method} ${path}`);
  return operation;
}

function assertRefused(reply: Reply, what: string): void {
  assert.deepEqual([reply.status, reply.body.code], [400, 'bad_parameters'], what);
  assert.ok(reply.body.errors.length > 0 && reply.body.errors.length <= 20, what);
}

test('validation: no query that the documentation refuses is answered, of any operation', async () => {
  for (const [path, item] of Object.entries(running.check.document.paths)) {
    const operation = item.get;
    if (!operation) continue;
    let accepted = 0;
    const isStream = !operation.responses[200]?.content['application/json'];
    const known = operation.parameters.flatMap((one) => (one.in === 'query' ? namesOf(one) : []));
    const check = async (query: Query) => {
      const address = `${path.replace('{id}', 'd1')}?${new URLSearchParams(query)}`;
      // A stream has no end.
      if (isStream && isAccepted(operation, query)) {
        accepted++;
        return;
      }
      const reply = await running.ask(address);
      if (isAccepted(operation, query)) {
        accepted++;
        // What a schema cannot say is refused by the operation itself.
        assert.ok([200, 400, 404].includes(reply.status), `${address}: ${reply.status}`);
      } else assertRefused(reply, address);
    };
    await fc.assert(fc.asyncProperty(queries(known), check), { numRuns: RUNS });
    assert.ok(accepted > 0, path);
  }
});

test('validation: no id in a path that the documentation refuses is answered', async () => {
  const schema = operationAt('/v1/drivers/{id}', 'get').parameters.find((one) => one.in === 'path')
    ?.schema as TSchema;
  const id = fc.oneof(
    fc.stringMatching(/^[A-Za-z0-9_-]{1,66}$/),
    fc.string({ minLength: 1, maxLength: 20, unit: 'binary' }),
  );
  const check = async (one: string) => {
    // Other routes, or steps in the path.
    fc.pre(!['nearby', 'nearby:batch', 'live', '.', '..'].includes(one) && !/[\ud800-\udfff]/.test(one));
    const reply = await running.ask(`/v1/drivers/${encodeURIComponent(one)}`);
    if (Value.Check(schema, one)) assert.equal(reply.status, 404);
    else assertRefused(reply, one);
  };
  await fc.assert(fc.asyncProperty(id, check), { numRuns: 4 * RUNS, examples: [['\n'], ['%'], ['a/b']] });
});

const junk = fc.oneof(
  fc.constantFrom(null, true, '', '1', 'available', 0, -1, 1.5, 20_000_000, 100_000, 1e308),
  fc.jsonValue({ maxDepth: 2 }),
);
const point = fc
  .record(
    {
      lat: fc.oneof({ weight: 30, arbitrary: fc.double({ min: -85, max: 85, noNaN: true }) }, junk),
      lon: fc.oneof({ weight: 30, arbitrary: fc.double({ min: -180, max: 180, noNaN: true }) }, junk),
      lng: junk,
      radius_m: fc.oneof({ weight: 5, arbitrary: fc.integer({ min: 1, max: 9_000 }) }, junk),
      limit: fc.oneof({ weight: 5, arbitrary: fc.integer({ min: 1, max: 100 }) }, junk),
      status: fc.oneof({ weight: 5, arbitrary: fc.constantFrom('available', 'busy') }, junk),
      services: fc.oneof({ weight: 5, arbitrary: fc.nat(65_535) }, junk),
      max_age_ms: junk,
      exclude: fc.oneof({ weight: 5, arbitrary: fc.array(fc.stringMatching(/^[a-z]{1,4}$/)) }, junk),
      x: junk,
      ['__proto__']: junk,
    },
    { requiredKeys: ['lat', 'lon'] },
  )
  .chain((whole) => fc.subarray(Object.keys(whole)).map((names) => kept(whole, names)));

/** Mostly the place alone: a request with every property random is always refused. */
function kept(whole: object, names: readonly string[]): object {
  const entries = Object.entries(whole);
  const isKept = (name: string, at: number) =>
    name === 'lat' || name === 'lon' || (names.includes(name) && at % 3 === 0);
  return Object.fromEntries(entries.filter(([name], at) => isKept(name, at)));
}

const bodies = fc.oneof(
  { weight: 6, arbitrary: fc.record({ points: fc.array(point, { minLength: 1, maxLength: 3 }) }) },
  fc.record({ points: fc.oneof(junk, point, fc.array(junk, { maxLength: 3 })) }),
  fc.dictionary(unknownName, junk),
  fc.integer({ min: 8, max: 1_000 }).map((count) => {
    const unknown = Array.from({ length: count }, (_, i) => [`u${i}`, 1]);
    return { ...Object.fromEntries(unknown), points: { length: 1 } };
  }),
  junk,
);

test('validation: no body that the documentation refuses is answered', async () => {
  const schema = operationAt(BATCH, 'post').requestBody?.content['application/json']?.schema as object;
  let accepted = 0;
  const check = async (body: unknown) => {
    const sent = JSON.stringify(body);
    const reply = await running.post(BATCH, sent);
    if (running.check.fits(schema, JSON.parse(sent))) {
      accepted++;
      assert.ok([200, 400].includes(reply.status), `${sent}: ${reply.status}`);
    } else assertRefused(reply, sent);
  };
  await fc.assert(fc.asyncProperty(bodies, check), { numRuns: 6 * RUNS });
  assert.ok(accepted > RUNS / 5, `${accepted} accepted`);
});

test('validation: the thousandth unknown name does not let the others pass, and nothing is taken for good', async () => {
  const unknown = (count: number) =>
    Array.from({ length: count }, (_, i): [string, string] => [`u${i}`, '1']);
  for (const count of [1, 7, 8, 9, 64, 1_000]) {
    const query = new URLSearchParams([
      ...unknown(count),
      ...Object.entries({ ...AT, radius_m: '20000000', limit: '100000' }),
    ]);
    assertRefused(await running.ask(`/v1/drivers/nearby?${query}`), `${count} names`);
    const names = Object.fromEntries(unknown(count));
    for (const points of [{ length: 1 }, { 0: AT }, 'points', 1e300]) {
      assertRefused(await running.post(BATCH, { ...names, points }), `${count} names`);
    }
  }
  assert.equal((await running.ask(`/v1/drivers/nearby?${new URLSearchParams(AT)}`)).status, 200);
  assert.match(await running.metrics.registry.metrics(), /questions_in_flight 0\n/);
});

test('validation: whatever fits into a body is refused with few words', async () => {
  const many = (text: string, count: number) => Array(count).fill(text).join();
  for (const body of [
    `${'['.repeat(48_000)}${']'.repeat(48_000)}`,
    `{"points":${'['.repeat(48_000)}${']'.repeat(48_000)}}`,
    `${'{"points":'.repeat(8_000)}1${'}'.repeat(8_000)}`,
    `{"points":[${many('1', 45_000)}]}`,
    `{"points":[${many('{}', 30_000)}]}`,
    `{"points":[{"lat":1,"lon":1,"exclude":[${many('"!"', 22_000)}]}]}`,
    `{"points":[{"lat":1,"lon":1}],"__proto__":{"points":[]}}`,
    `{"points":[{"lat":1,"lon":1,"__proto__":{"limit":1}}]}`,
  ]) {
    const reply = await running.post(BATCH, body);
    assertRefused(reply, body.slice(0, 40));
    assert.ok(JSON.stringify(reply.body).length < 10_000);
  }
});

test('validation: what it accepts is what the schema accepts, whatever the value is', () => {
  const schema = questionSchema(10_000);
  const validate = compileValidator({ schema, method: 'GET', url: '/', httpPart: 'querystring' });
  const value = fc.oneof(fc.string(), fc.array(fc.string(), { minLength: 2 }), text);
  const query = fc.dictionary(
    fc.oneof(unknownName, fc.constantFrom(...Object.keys(schema.properties))),
    value,
    {
      noNullPrototype: false,
    },
  );
  fc.assert(
    fc.property(query, (given) => {
      const result = validate(given) as { value?: unknown; error?: unknown };
      assert.ok((result.value === undefined) !== (result.error === undefined));
      if (result.value !== undefined) assert.ok(Value.Check(schema, result.value));
    }),
    { numRuns: 20_000 },
  );
});

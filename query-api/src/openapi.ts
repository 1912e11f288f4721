// /openapi.json, made of the operations and their schemas, so that it cannot say anything else than the code does.

import type { TSchema } from 'typebox';
import { JSON_TYPE, type Operation } from './operation.js';
import {
  BatchAnswer,
  Driver,
  DriverAnswer,
  DriverAnswerFeature,
  DriverFeature,
  DriverIdPath,
  DriversAnswer,
  DriversCollection,
  LiveAnswer,
  LiveCollection,
  MissingRange,
  NearbyAnswer,
  NearbyCollection,
  Partition,
  PartitionsAnswer,
  PartitionsCollection,
  ProblemBody,
  Query,
} from './schemas.js';

const COMPONENTS: Record<string, TSchema> = {
  BatchAnswer,
  Driver,
  DriverAnswer,
  DriverAnswerFeature,
  DriverFeature,
  DriversAnswer,
  DriversCollection,
  LiveAnswer,
  LiveCollection,
  MissingRange,
  NearbyAnswer,
  NearbyCollection,
  Partition,
  PartitionsAnswer,
  PartitionsCollection,
  Problem: ProblemBody,
  Query,
};
const NAMES = new Map(Object.entries(COMPONENTS).map(([name, schema]) => [schema as unknown, name]));

const PROBLEMS: Record<number, string> = {
  400: 'Parameters that are unknown, repeated, missing or out of range, each by name in `errors`',
  401: 'No token, or one that cannot be verified',
  403: 'The token lacks the scope `drivers:read`',
  406: 'None of the types that the caller accepts',
  503: 'Overloaded: too many questions at once',
};
const BODY_PROBLEMS: Record<number, string> = {
  408: 'The body did not arrive in time',
  413: 'The body is too large',
  415: 'The body is not application/json',
};

export function openApiDocument(operations: readonly Operation[], version: string): object {
  const paths: Record<string, Record<string, object>> = {};
  for (const operation of operations) {
    paths[operation.path] = {
      ...paths[operation.path],
      [operation.method.toLowerCase()]: operationObject(operation),
    };
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'Whereabouts query API',
      version,
      description:
        'Where the drivers are, answered from the cache alone. Every position is provisional and has an age; ' +
        'every answer says whether anything is missing. Errors are RFC 9457 problems.',
      license: { name: 'MIT', identifier: 'MIT' },
    },
    servers: [{ url: '/' }],
    security: [{ token: ['drivers:read'] }],
    paths,
    components: {
      securitySchemes: { token: { type: 'http', scheme: 'bearer', bearerFormat: 'JWT' } },
      schemas: Object.fromEntries(
        Object.entries(COMPONENTS).map(([name, schema]) => [name, expanded(schema)]),
      ),
    },
  };
}

function operationObject(operation: Operation): object {
  const { id, method, summary, description, parameters, answers } = operation;
  const isGet = method === 'GET';
  const requestId = { name: 'X-Request-Id', in: 'header', required: false, schema: { type: 'string' } };
  return {
    operationId: id,
    summary,
    description,
    parameters: [...pathParameters(operation), ...(isGet ? queryParameters(operation) : []), requestId],
    ...(isGet
      ? {}
      : { requestBody: { required: true, content: { [JSON_TYPE]: { schema: referred(parameters) } } } }),
    responses: { 200: answerObject('The answer', answers), ...problemObjects(operation) },
  };
}

function pathParameters({ path }: Operation): object[] {
  if (!path.includes('{id}')) return [];
  return [{ name: 'id', in: 'path', required: true, schema: referred(DriverIdPath.properties.id) }];
}

function queryParameters({ parameters }: Operation): object[] {
  const required: readonly string[] = parameters.required ?? [];
  return Object.entries(parameters.properties).map(([name, schema]) => {
    const { description, ...rest } = referred(schema) as { description?: string; default?: unknown };
    return {
      name,
      in: 'query',
      required: required.includes(name) && !('default' in rest),
      ...(description === undefined ? {} : { description }),
      schema: rest,
      // Lists are written with commas.
      ...((schema as { type?: string }).type === 'array' ? { style: 'form', explode: false } : {}),
    };
  });
}

function problemObjects({ method, problems }: Operation): object {
  const all = { ...PROBLEMS, ...(method === 'POST' ? BODY_PROBLEMS : {}), ...problems };
  return Object.fromEntries(
    Object.entries(all).map(([status, description]) => [
      status,
      answerObject(description, { 'application/problem+json': ProblemBody }),
    ]),
  );
}

function answerObject(description: string, answers: Record<string, TSchema>): object {
  const content = Object.entries(answers).map(([type, schema]) => [type, { schema: referred(schema) }]);
  const requestId = { description: 'As it came, or made', schema: { type: 'string' } };
  return { description, headers: { 'X-Request-Id': requestId }, content: Object.fromEntries(content) };
}

/** A schema that has a name is mentioned by it. */
function referred(schema: unknown): unknown {
  const name = NAMES.get(schema);
  return name ? { $ref: `#/components/schemas/${name}` } : expanded(schema);
}

function expanded(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(referred);
  if (typeof schema !== 'object' || schema === null) return schema;
  const entries = Object.entries(schema).map(([key, value]) => [key, referred(value)]);
  const plain = Object.fromEntries(entries) as { required?: string[]; properties?: object };
  return optionalWhereDefault(plain);
}

/** What has a default need not be given, though it is always there once the defaults are. */
function optionalWhereDefault<T extends { required?: string[]; properties?: object }>(schema: T): T {
  const { required, properties } = schema;
  if (!required || !properties) return schema;
  const hasDefault = (name: string) => 'default' in ((properties as Record<string, object>)[name] ?? {});
  return { ...schema, required: required.filter((name) => !hasDefault(name)) };
}

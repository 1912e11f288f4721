// Serves /openapi.json and /docs, generated from the routes and their schemas by @fastify/swagger, so the documentation
// cannot differ from the code.

import swagger from '@fastify/swagger';
import swaggerUi from '@fastify/swagger-ui';
import { productVersion } from '@whereabouts/infra/service/metrics';
import type { FastifyInstance, FastifySchema } from 'fastify';
import { withAliases } from './aliases.js';
import { asWritten, type Schema, withDocumentedPatterns } from './schema-shape.js';
import { COMPONENTS } from './schemas.js';

/** The tag of a route, by the part of the path after the version. */
const TAGS: Record<string, string> = {
  drivers: 'Where drivers are: around a point, within an area, by their ids',
  supply: 'How many drivers are on duty, cell by cell',
  partitions: 'How the map is divided, which node holds each part, and the state of each part',
};

// Everything is served from here. Its pictures are in its style sheet, and one of its parts adds an inline style.
const CONTENT_POLICY = [
  "default-src 'self'",
  "img-src 'self' data:",
  "style-src 'self' 'sha256-RL3ie0nH+Lzz2YNqQN83mnU0J1ot4QL7b99vMdIX99w='",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
  "object-src 'none'",
].join('; ');

const BEARER = {
  type: 'http',
  scheme: 'bearer',
  bearerFormat: 'JWT',
  description: 'A token with the scope `drivers:read`, signed by the issuer that the service trusts',
} as const;

const REQUEST_ID = {
  type: 'string',
  description:
    'Returned with the answer, and written to our log if something is wrong. Without it the service makes one',
  examples: ['ride-4711'],
};

/** Registered before the routes, as it inspects each route that is added. */
export async function registerDocs(app: FastifyInstance): Promise<void> {
  for (const component of COMPONENTS) app.addSchema(component);
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'Whereabouts query API',
        version: productVersion(),
        description:
          'Where the drivers are, answered from the cache alone. Every position is provisional and has an age; ' +
          'every answer says whether anything is missing. Errors are RFC 9457 problems.',
        license: { name: 'MIT', identifier: 'MIT' },
      },
      servers: [{ url: '/', description: 'Where this document comes from' }],
      tags: Object.entries(TAGS).map(([name, description]) => ({ name, description })),
      security: [{ token: ['drivers:read'] }],
      components: { securitySchemes: { token: BEARER } },
    },
    refResolver: { buildLocalReference: ({ $id }, _uri, _fragment, i) => ($id as string) ?? `def-${i}` },
    convertConstToEnum: false,
    transformObject: (described) =>
      withNamedBodies((described as { openapiObject: Document }).openapiObject) as object,
    transform: ({ schema, url }) => ({ schema: documented(schema ?? {}, url), url }),
  });
  await app.register(swaggerUi, {
    routePrefix: '/docs',
    staticCSP: CONTENT_POLICY,
    // Without the top bar, which advertises another product.
    uiConfig: { validatorUrl: null, layout: 'BaseLayout' },
  });
  let document: Buffer | undefined;
  app.get('/openapi.json', { schema: { hide: true } }, (_request, reply) => {
    document ??= Buffer.from(JSON.stringify(app.swagger()));
    return reply.headers({ 'content-type': 'application/json', 'cache-control': 'no-store' }).send(document);
  });
}

const queryOf = (schema: unknown) => withDocumentedPatterns(asWritten(schema as Schema));

function documented(schema: FastifySchema, url: string): FastifySchema {
  if (schema.hide) return schema;
  const headers = { properties: { 'X-Request-Id': REQUEST_ID }, type: 'object' };
  const { body, querystring, tags = [url.split('/')[2] ?? ''] } = schema;
  return {
    ...schema,
    tags,
    headers,
    ...(body ? { body: withAliases(withDefaultsSaid(asWritten(body as Schema))) } : {}),
    // Lists are written with commas. (Repeated names work too, but OpenAPI has one style for each.)
    ...(querystring ? { querystring: { ...queryOf(querystring), style: 'form', explode: false } } : {}),
  };
}

/**
 * Client generators make body fields with a default mandatory (openapi-typescript does), so the default is written into
 * the description.
 */
function withDefaultsSaid(schema: Schema): Schema {
  const { items, properties, default: value, ...rest } = schema;
  const inside = Object.entries(properties ?? {}).map(([name, one]) => [name, withDefaultsSaid(one)]);
  const said = value === undefined || Array.isArray(value) ? '' : `; ${value} if it is not given`;
  return {
    ...rest,
    ...(said ? { description: `${rest.description}${said}` } : {}),
    ...(items ? { items: withDefaultsSaid(items) } : {}),
    ...(properties ? { properties: Object.fromEntries(inside) } : {}),
  };
}

interface Document {
  paths: Record<string, { post?: { requestBody?: { content: Record<string, { schema: Schema }> } } }>;
  components: { schemas: Record<string, object> };
}

/** A titled part of a request body becomes a component, so that generated clients call it by this name. */
function withNamedBodies(document: Document): Document {
  const schemas = { ...document.components.schemas };
  const paths = structuredClone(document.paths);
  for (const { post } of Object.values(paths)) {
    for (const media of Object.values(post?.requestBody?.content ?? {})) media.schema = named(media.schema);
  }
  return { ...document, paths, components: { ...document.components, schemas } };

  function named(schema: Schema): Schema {
    const { title, items, properties, oneOf } = schema;
    const inside = Object.entries(properties ?? {}).map(([name, one]) => [name, named(one)]);
    const whole = {
      ...schema,
      ...(items ? { items: named(items) } : {}),
      ...(oneOf ? { oneOf: oneOf.map(named) } : {}),
      ...(properties ? { properties: Object.fromEntries(inside) } : {}),
    };
    if (title === undefined) return whole;
    schemas[title] = whole;
    return { $ref: `#/components/schemas/${title}` };
  }
}

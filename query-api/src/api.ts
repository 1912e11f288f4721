// The routes under /v1. Each request is authorized, counted and matched to the type it accepts before anything else of
// it is read. Fastify then validates it against its route's schema, and the route's handler answers it.

import compress from '@fastify/compress';
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { chooseType } from './accept.js';
import type { Authorize, Caller } from './authorization.js';
import { jsonParser } from './bodies.js';
import { addDriver, addDrivers } from './drivers.js';
import { addLive } from './live.js';
import { addNearby, addNearbyBatch } from './nearby.js';
import { addNearbyStream } from './nearby-stream.js';
import { addPartitions } from './partitions.js';
import { Problem, unsupportedMediaType } from './problem.js';
import type { Ground } from './questions.js';
import { JSON_TYPE, typesOf } from './route-schema.js';
import { addSupply } from './supply.js';

export interface ApiOptions {
  ground: Ground;
  authorize: Authorize;
}

// A smaller answer crosses any network in one or two round trips, and compressing it costs as much as answering.
const COMPRESSED_FROM_BYTES = 16 * 1024;

export async function registerApi(app: FastifyInstance, { ground, authorize }: ApiOptions): Promise<void> {
  const api = app.withTypeProvider<TypeBoxTypeProvider>();
  // Without brotli: Node's default quality is meant for files that are compressed once.
  await api.register(compress, { threshold: COMPRESSED_FROM_BYTES, encodings: ['gzip', 'identity'] });
  api.removeAllContentTypeParsers();
  api.addContentTypeParser(JSON_TYPE, jsonParser(ground.admission));
  api.decorateRequest('subject', '');
  api.decorateRequest('tokenExpiresAtMs', 0);
  api.decorateRequest('answerType', '');
  api.decorateRequest('isStream', false);
  const admit = (request: FastifyRequest, { subject, tokenExpiresAtMs }: Caller) => {
    request.subject = subject;
    request.tokenExpiresAtMs = tokenExpiresAtMs;
    ground.admission.knock(subject);
  };
  api.addHook('onRequest', (request, _reply, done) => {
    const caller = authorize(request.headers.authorization);
    if ('subject' in caller) {
      admit(request, caller);
      done();
    } else caller.then((verified) => admit(request, verified)).then(() => done(), done);
  });
  api.addHook('onRoute', (route) => {
    const types = typesOf(route.schema);
    route.onRequest = (request, reply, done) => {
      chooseAnswer(request, reply, types);
      if (route.schema?.body && request.headers['content-type'] === undefined) throw unsupportedMediaType();
      done();
    };
  });
  for (const add of [
    addNearby,
    addNearbyBatch,
    addNearbyStream,
    addLive,
    addDrivers,
    addDriver,
    addSupply,
    addPartitions,
  ])
    add(api, ground);
}

function chooseAnswer(request: FastifyRequest, reply: FastifyReply, types: readonly string[]): void {
  const type = chooseType(request.headers.accept ?? '', types);
  if (!type) throw new Problem(406, 'not_acceptable', `the answer is available as ${types.join(', ')}`);
  request.answerType = type;
  reply.headers({ 'content-type': type, 'cache-control': 'no-store', vary: 'Accept, Authorization' });
  reply.serializer(written);
}

/** Handlers return text. */
const written = (text: unknown): string => text as string;

// Fastify as the routes under /v1 see it.
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox';
import type { FastifyBaseLogger, FastifyInstance, RawServerDefault } from 'fastify';

export type Api = FastifyInstance<
  RawServerDefault,
  IncomingMessage,
  ServerResponse,
  FastifyBaseLogger,
  TypeBoxTypeProvider
>;

declare module 'fastify' {
  interface FastifyRequest {
    /** Of the token. */
    subject: string;
    /** By the clock of this machine. */
    tokenExpiresAtMs: number;
    /** The media type that the caller prefers. */
    answerType: string;
    /** The answer goes on for as long as the caller wants. */
    isStream: boolean;
  }
}

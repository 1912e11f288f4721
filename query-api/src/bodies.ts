// Request bodies: JSON, limited in size, in time to arrive, and in how many arrive at once.

import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { closeGently } from '@whereabouts/infra/service/raw-problem';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Admission } from './admission.js';
import { MAX_POINTS } from './parameter-schemas.js';
import { Problem } from './problem.js';

/** The numbers of a point, written at length. */
const POINT_BYTES = 300;
/** With quotes and comma. */
const LONGEST_ID_BYTES = 67;
/** On average over all points; a single point may have as many as the schema allows. */
const EXCLUDED_EACH = 10;
/** A full batch: 97,000 bytes. */
export const MAX_BODY_BYTES = MAX_POINTS * (POINT_BYTES + EXCLUDED_EACH * LONGEST_ID_BYTES);
const DEADLINE_MS = 5_000;

/** The caller waits for this before it sends its body. */
const expecting = new WeakMap<IncomingMessage, ServerResponse>();

/** `Expect: 100-continue` is answered only when the body is wanted. */
export function continueWhenRead(server: Server): void {
  for (const event of ['checkContinue', 'checkExpectation']) {
    server.on(event, (request: IncomingMessage, response: ServerResponse) => {
      if (event === 'checkContinue') expecting.set(request, response);
      server.emit('request', request, response);
    });
  }
}

/** Fastify's parser of JSON bodies. It reads nothing of a body that is too large. */
export function jsonParser(admission: Admission) {
  return async (request: FastifyRequest, payload: IncomingMessage): Promise<unknown> => {
    // A body without a stated length may have the maximum length.
    const bytes = isChunked(request.raw) ? MAX_BODY_BYTES : lengthOf(request.raw);
    if (bytes > MAX_BODY_BYTES) throw tooLarge();
    const leave = admission.enterBody(request.subject, bytes);
    try {
      expecting.get(request.raw)?.writeContinue();
      return parsed(await readWithin(payload));
    } finally {
      leave();
    }
  };
}

/** Node would read the rest of an unwanted body to its end, so a long one is dropped with its connection. */
export function dropUnreadBody({ raw }: FastifyRequest, reply: FastifyReply): void {
  const isLong = isChunked(raw) || lengthOf(raw) > MAX_BODY_BYTES;
  if (raw.complete || (!isLong && reply.statusCode !== 408)) return;
  reply.header('connection', 'close');
  // Node calls this once the answer is written.
  raw.socket.destroySoon = () => closeGently(raw.socket);
}

function isChunked({ headers }: IncomingMessage): boolean {
  return headers['transfer-encoding'] !== undefined;
}

function lengthOf({ headers }: IncomingMessage): number {
  return Number(headers['content-length'] ?? 0);
}

function readWithin(payload: IncomingMessage): Promise<string> {
  let chunks: Buffer[] | null = [];
  let bytes = 0;
  let timer: NodeJS.Timeout | undefined;
  const text = new Promise<string>((resolve, reject) => {
    timer = setTimeout(() => {
      reject(new Problem(408, 'body_timeout', `the body did not arrive within ${DEADLINE_MS} ms`));
    }, DEADLINE_MS);
    payload.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes > MAX_BODY_BYTES) reject(tooLarge());
      else chunks?.push(chunk);
    });
    payload.on('end', () => resolve(Buffer.concat(chunks ?? []).toString('utf8')));
    // Also after its end, when nobody listens any more.
    for (const event of ['error', 'close']) {
      payload.on(event, () => reject(new Problem(400, 'bad_body', 'the body ended early')));
    }
  });
  return text.finally(() => {
    clearTimeout(timer);
    // What still arrives is read and dropped.
    chunks = null;
  });
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new Problem(400, 'bad_body', `the body is not JSON: ${(error as Error).message}`);
  }
}

function tooLarge(): Problem {
  return new Problem(413, 'body_too_large', `the body has more than ${MAX_BODY_BYTES} bytes`);
}

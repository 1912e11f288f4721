// The map page: the files of `public`, at the root.

import { fileURLToPath } from 'node:url';
import helmet from '@fastify/helmet';
import statics from '@fastify/static';
import type { FastifyInstance } from 'fastify';

const FOLDER = fileURLToPath(new URL('../public/', import.meta.url));

export async function registerPage(app: FastifyInstance): Promise<void> {
  await app.register(helmet, {
    // Nothing from elsewhere, and nothing inline: a token is typed into this page.
    contentSecurityPolicy: {
      useDefaults: false,
      directives: {
        defaultSrc: ["'self'"],
        baseUri: ["'none'"],
        formAction: ["'none'"],
        frameAncestors: ["'none'"],
        objectSrc: ["'none'"],
      },
    },
    referrerPolicy: { policy: 'no-referrer' },
    // Of TLS the proxy before us knows.
    strictTransportSecurity: false,
  });
  // A route for each file that is there now, so that whatever is not there is a 404 of ours.
  await app.register(statics, {
    root: FOLDER,
    wildcard: false,
    acceptRanges: false,
    cacheControl: false,
    setHeaders: (reply) => reply.setHeader('cache-control', 'no-cache'),
  });
}

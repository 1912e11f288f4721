// The map page: the folder that the build of `page` puts together, at the root; and what the page is told of our settings.

import { fileURLToPath } from 'node:url';
import helmet from '@fastify/helmet';
import statics from '@fastify/static';
import type { FastifyInstance } from 'fastify';

export interface PageOptions {
  lossBudgetMs: number;
  /** Where the ground of the map comes from; null: from the page's own files. */
  mapStyleUrl: string | null;
}

const FOLDER = fileURLToPath(new URL('../page/dist/site/', import.meta.url));
const NO_CACHE = 'no-cache';

export async function registerPage(app: FastifyInstance, options: PageOptions): Promise<void> {
  const { lossBudgetMs, mapStyleUrl } = options;
  // Tiles, glyphs and sprites of a style have to be of its own origin.
  const ground = mapStyleUrl === null ? [] : [new URL(mapStyleUrl).origin];
  await app.register(helmet, {
    // Nothing from elsewhere, and nothing inline: a token is typed into this page.
    contentSecurityPolicy: {
      useDefaults: false,
      directives: {
        defaultSrc: ["'self'"],
        baseUri: ["'none'"],
        // The page's worker hands drivers to MapLibre's worker as blobs.
        connectSrc: ["'self'", 'blob:', ...ground],
        formAction: ["'none'"],
        frameAncestors: ["'none'"],
        // MapLibre's own stylesheet has its icons in it.
        imgSrc: ["'self'", 'data:', 'blob:', ...ground],
        objectSrc: ["'none'"],
      },
    },
    referrerPolicy: { policy: 'no-referrer' },
    // Of TLS the proxy before us knows.
    strictTransportSecurity: false,
  });
  app.get('/page-settings.json', { schema: { hide: true } }, (_request, reply) => {
    reply.header('cache-control', NO_CACHE).type('application/json; charset=utf-8');
    return JSON.stringify({ lossBudgetMs, mapStyleUrl });
  });
  // A route for each file that is there now, so that whatever is not there is a 404 of ours.
  await app.register(statics, {
    root: FOLDER,
    wildcard: false,
    globIgnore: ['**/*.gz'],
    preCompressed: true,
    acceptRanges: false,
    cacheControl: false,
    setHeaders: (reply) => reply.setHeader('cache-control', NO_CACHE),
  });
}

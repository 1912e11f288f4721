// Serves the map page at the root: the folder that the build of `page` makes, and the settings that the page needs.

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
  // Tiles, glyphs and sprites of a style have to come from the style's origin.
  const ground = mapStyleUrl === null ? [] : [new URL(mapStyleUrl).origin];
  await app.register(helmet, {
    // Nothing from other origins and nothing inline: users type a token into this page.
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
    // Only the proxy in front of us knows about TLS.
    strictTransportSecurity: false,
  });
  app.get('/page-settings.json', { schema: { hide: true } }, (_request, reply) => {
    reply.header('cache-control', NO_CACHE).type('application/json; charset=utf-8');
    return JSON.stringify({ lossBudgetMs, mapStyleUrl });
  });
  // One route for each existing file, so that any other path gets our own 404.
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

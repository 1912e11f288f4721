// Serves the example page and the client's modules from this package to browsers on this machine, without a build:
//
//   node examples/serve.mjs [--port 8088]
//
//  Browsers give a position only to pages of https: and of 127.0.0.1. For a phone, serve these files behind TLS.
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const FOLDER = fileURLToPath(new URL('..', import.meta.url));
const PAGE = '/examples/geolocation.html';
/** Nothing else of the package is served. */
const SERVED = /^\/(examples|dist)\/[\w-]+\.(html|css|js|map)$/;
const TYPES = {
  '.html': 'text/html',
  '.css': 'text/css',
  '.js': 'text/javascript',
  '.map': 'application/json',
};

const { values } = parseArgs({ options: { port: { type: 'string', default: '8088' } } });

const server = createServer(async ({ method, url }, response) => {
  const { pathname } = new URL(url ?? '/', 'http://localhost');
  if (pathname === '/') {
    response.writeHead(302, { location: PAGE }).end();
    return;
  }
  const content = SERVED.test(pathname) ? await readFile(join(FOLDER, pathname)).catch(() => null) : null;
  if (content === null || (method !== 'GET' && method !== 'HEAD')) {
    response.writeHead(404, { 'content-type': 'text/plain' }).end('not found\n');
    return;
  }
  const type = `${TYPES[extname(pathname)]}; charset=utf-8`;
  response.writeHead(200, { 'content-type': type, 'cache-control': 'no-cache' }).end(content);
});
server.on('error', (error) => {
  console.error(`cannot listen on port ${values.port}: ${error.message}. Choose another with --port`);
  process.exitCode = 1;
});
server.listen(Number(values.port), '127.0.0.1', () => {
  console.log(`http://127.0.0.1:${server.address().port}${PAGE}`);
});

// Where the service is and who signs its tokens: from the stack.json that `npm start` keeps while it runs, or, for a
// service elsewhere, from the environment.
import { fail } from 'k6';
import http from 'k6/http';

// Only the error that open() throws reveals a missing file.
function read(file, hint) {
  try {
    return open(file);
  } catch (error) {
    throw new Error(`${error.message}\n${hint}`);
  }
}

function stackFile() {
  const given = __ENV.STACK;
  if (!given) return import.meta.resolve('../../../.whereabouts/stack.json');
  return given.startsWith('/') ? given : `${__ENV.PWD}/${given}`;
}

function fromStack() {
  const hint =
    'Start the service in another terminal (npm start), or give STACK, or INGEST_URL, QUERY_URL and SECRET.';
  const { ingest, query, auth } = JSON.parse(read(stackFile(), hint));
  const secret = read(auth.secretFile, hint).trim();
  return { ingestUrl: ingest.url, queryUrl: query.url, secret, issuer: auth.issuer, audience: auth.audience };
}

const DEFAULTS = {
  ingestUrl: 'ws://127.0.0.1:8080',
  queryUrl: 'http://127.0.0.1:8081',
  issuer: 'whereabouts',
  audience: { ingest: 'whereabouts-ingest', query: 'whereabouts-query' },
};

const found = __ENV.SECRET ? { ...DEFAULTS, secret: __ENV.SECRET } : fromStack();

export const target = Object.freeze({
  ingestUrl: __ENV.INGEST_URL || found.ingestUrl,
  queryUrl: __ENV.QUERY_URL || found.queryUrl,
  secret: found.secret,
  issuer: __ENV.ISSUER || found.issuer,
  audience: {
    ingest: __ENV.INGEST_AUDIENCE || found.audience.ingest,
    query: __ENV.QUERY_AUDIENCE || found.audience.query,
  },
});

/** One clear message before thousands of connections fail. Any answer means that a service is there. */
export function requireService(url) {
  const { status, error } = http.get(url.replace(/^ws/, 'http'), {
    responseCallback: http.expectedStatuses({ min: 200, max: 599 }),
    tags: { name: 'reachable' },
  });
  if (status === 0) fail(`nothing answers at ${url} (${error}); is it running?`);
}

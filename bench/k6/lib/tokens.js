// HS256 tokens as `npm run token` makes them.
import crypto from 'k6/crypto';
import encoding from 'k6/encoding';
import { target } from './target.js';

const TTL_S = 3600;

const part = (fields) => encoding.b64encode(JSON.stringify(fields), 'rawurl');
const HEADER = part({ alg: 'HS256', typ: 'JWT' });

function signed(subject, scope, audience) {
  const nowS = Math.floor(Date.now() / 1000);
  const claims = { scope, iss: target.issuer, aud: audience, sub: subject, iat: nowS, exp: nowS + TTL_S };
  const text = `${HEADER}.${part(claims)}`;
  return `${text}.${crypto.hmac('sha256', target.secret, text, 'base64rawurl')}`;
}

export const driverToken = (driverId) => signed(driverId, 'location:write', target.audience.ingest);
export const readerToken = () => signed('k6-dispatch', 'drivers:read', target.audience.query);

// Signed by hand: `npm run token` shall start fast, and loading a library for it takes longer than all the rest.
import { createHmac } from 'node:crypto';

const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');

/** For `npm start`, drills and tests: whoever has the secret may be anyone. HS256, RFC 7515. */
export async function signDevelopmentToken(token: {
  secret: string;
  issuer: string;
  audience: string;
  subject: string;
  scope: string;
  ttlS: number;
}): Promise<string> {
  const { secret, issuer: iss, audience: aud, subject: sub, scope, ttlS } = token;
  const iat = Math.floor(Date.now() / 1000);
  const signed = `${part({ alg: 'HS256', typ: 'JWT' })}.${part({ scope, iss, aud, sub, iat, exp: iat + ttlS })}`;
  return `${signed}.${createHmac('sha256', secret).update(signed).digest('base64url')}`;
}

// In a file of its own: `npm run token` shall start fast, and the verification of tokens takes much more to load.
import { createSecretKey } from 'node:crypto';
import { SignJWT } from 'jose/jwt/sign';

/** For `npm start`, drills and tests: whoever has the secret may be anyone. */
export async function signDevelopmentToken(token: {
  secret: string;
  issuer: string;
  audience: string;
  subject: string;
  scope: string;
  ttlS: number;
}): Promise<string> {
  const nowS = Math.floor(Date.now() / 1000);
  return await new SignJWT({ scope: token.scope })
    .setProtectedHeader({ alg: 'HS256', typ: 'JWT' })
    .setIssuer(token.issuer)
    .setAudience(token.audience)
    .setSubject(token.subject)
    .setIssuedAt(nowS)
    .setExpirationTime(nowS + token.ttlS)
    .sign(createSecretKey(token.secret, 'utf8'));
}

// Development tokens for drivers and readers of the running stack.
import { signDevelopmentToken } from '@whereabouts/infra/service/development-token';
import { readSecret, type Stack } from './stack-file.js';

const TTL_S = 3600;

export function driverTokens(stack: Stack): (driverId: string) => Promise<string> {
  const secret = readSecret(stack);
  const { issuer, audience } = stack.auth;
  return (subject) =>
    signDevelopmentToken({
      secret,
      issuer,
      audience: audience.ingest,
      subject,
      scope: 'location:write',
      ttlS: TTL_S,
    });
}

/** `ttlS`: a program asks for another token; a person leaves the map open. */
export function readerToken(stack: Stack, ttlS = TTL_S): Promise<string> {
  const { issuer, audience } = stack.auth;
  return signDevelopmentToken({
    secret: readSecret(stack),
    issuer,
    audience: audience.query,
    subject: 'reader',
    scope: 'drivers:read',
    ttlS,
  });
}

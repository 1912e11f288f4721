// Development tokens for drivers and readers of the running stack.
import { signDevelopmentToken } from '@whereabouts/infra/service/development-token';
import { readSecret, type Stack } from './stack-file.js';

const TTL_S = 3600;
/** A person leaves the map open. */
const READER_TTL_S = 24 * 3600;

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

export function readerToken(stack: Stack): Promise<string> {
  const { issuer, audience } = stack.auth;
  return signDevelopmentToken({
    secret: readSecret(stack),
    issuer,
    audience: audience.query,
    subject: 'reader',
    scope: 'drivers:read',
    ttlS: READER_TTL_S,
  });
}

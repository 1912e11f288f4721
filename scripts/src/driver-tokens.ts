// Development tokens for drivers of the running stack.
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

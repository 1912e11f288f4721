// Identifies the caller from the Authorization header: RFC 6750.

import { TokenError, type TokenVerifier } from '@whereabouts/infra/service/tokens';
import { Problem, unavailable } from './problem.js';
import { type Caller, VerifiedTokens } from './verified-tokens.js';

export type { Caller };

const SCOPE = 'drivers:read';
const BEARER = /^Bearer +([^\s]+) *$/i;

/** Resolves to the token's owner, synchronously if the token is known. Throws or rejects with a problem. */
export type Authorize = (authorization: string | undefined) => Caller | Promise<Caller>;

export function createAuthorization(verify: TokenVerifier): Authorize {
  const verified = new VerifiedTokens((token) => verify(token, SCOPE));
  return (authorization = '') => {
    const token = BEARER.exec(authorization)?.[1] ?? '';
    if (token === '' && authorization !== '') {
      throw tokenProblem(new TokenError('token_invalid', 'the Authorization header is not `Bearer <token>`'));
    }
    return verified.known(token) ?? verified.verify(token).catch(refuse);
  };
}

function refuse(error: unknown): never {
  throw error instanceof TokenError ? tokenProblem(error) : error;
}

function tokenProblem(error: TokenError): Problem {
  const { code, message } = error;
  if (code === 'keys_unavailable' || code === 'key_unknown') return unavailable(code, message);
  let challenge = 'Bearer realm="whereabouts"';
  if (code === 'token_scope') challenge += `, error="insufficient_scope", scope="${SCOPE}"`;
  // RFC 6750, 3.1: no error code if there was no token.
  else if (code !== 'token_missing') challenge += ', error="invalid_token"';
  const headers = { 'www-authenticate': challenge };
  return new Problem(code === 'token_scope' ? 403 : 401, code, message, { headers });
}

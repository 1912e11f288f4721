// Who is calling, and what may they do: JSON Web Tokens, verified against one key source.
//
// The algorithms follow from the key source and never from the token, so a public key can not be taken for an
// HS256 secret. A token must have issuer, audience, expiry and a subject that is fit to be a driver's id.

import { createPublicKey, createSecretKey, type KeyObject } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import {
  createRemoteJWKSet,
  customFetch,
  decodeJwt,
  errors,
  type FetchImplementation,
  type JWTPayload,
  type JWTVerifyGetKey,
  type JWTVerifyOptions,
  jwtVerify,
  SignJWT,
} from 'jose';

/** Exactly one of the first three. */
export interface TokenSettings {
  jwksUrl?: string;
  publicKeyFile?: string;
  secret?: string;
  issuer: string;
  audience: string;
}

export interface VerifiedToken {
  subject: string;
  /** Set by the issuer, may be years away: more than a timer can wait. */
  expiresAtMs: number;
  scopes: string[];
}

/** Throws TokenError, nothing else. */
export type TokenVerifier = (token: string, scope: string) => Promise<VerifiedToken>;

/** `keys_unavailable` is no fault of the token: the issuer's keys could not be fetched, so try again. */
export type TokenErrorCode =
  | 'token_missing'
  | 'token_invalid'
  | 'token_expired'
  | 'token_scope'
  | 'keys_unavailable';

export class TokenError extends Error {
  readonly retryable: boolean;

  constructor(
    readonly code: TokenErrorCode,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
    this.name = 'TokenError';
    this.retryable = code === 'keys_unavailable';
  }
}

const SUBJECT = /^[A-Za-z0-9_-]{1,64}$/;
// A token that a proxy's header limit (8 KiB, commonly) lets through at all.
const MAX_TOKEN_CHARS = 8192;
// A stranger who sends unknown key ids makes us ask the issuer at most this often.
const JWKS_COOLDOWN_MS = 30_000;
// Below the 2 s that an upgrade may take.
const JWKS_TIMEOUT_MS = 1500;
// jose's cooldown counts fetches that succeeded; this one is for an issuer that refuses at once.
const JWKS_RETRY_MS = 1000;
const MIN_RSA_BITS = 2048;

type Verify = (token: string, options: JWTVerifyOptions) => Promise<JWTPayload>;

export async function createTokenVerifier(settings: TokenSettings): Promise<TokenVerifier> {
  const verify = await keySource(settings);
  const options = {
    issuer: settings.issuer,
    audience: settings.audience,
    requiredClaims: ['exp', 'sub'],
  };
  return async (token, scope) => {
    if (token === '') throw new TokenError('token_missing', 'a token is needed');
    if (token.length > MAX_TOKEN_CHARS) throw new TokenError('token_invalid', 'the token is too long');
    let payload: JWTPayload;
    try {
      payload = await verify(token, options);
    } catch (error) {
      throw tokenErrorFrom(error);
    }
    return checkClaims(payload, scope);
  };
}

/** Who a token says that it is of, unverified: good for nothing but to be refused early. Null where it does not say. */
export function claimedSubject(token: string): string | null {
  try {
    const { sub } = decodeJwt(token);
    return sub ?? null;
  } catch {
    return null;
  }
}

/** The algorithm that tokens signed for this public key use; null where we take no such key. */
export function algorithmOf(key: KeyObject): 'RS256' | 'ES256' | 'EdDSA' | null {
  const details = key.asymmetricKeyDetails;
  if (key.asymmetricKeyType === 'rsa') return (details?.modulusLength ?? 0) >= MIN_RSA_BITS ? 'RS256' : null;
  if (key.asymmetricKeyType === 'ec') return details?.namedCurve === 'prime256v1' ? 'ES256' : null;
  return key.asymmetricKeyType === 'ed25519' ? 'EdDSA' : null;
}

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

async function keySource(settings: TokenSettings): Promise<Verify> {
  const { jwksUrl, publicKeyFile, secret } = settings;
  if ([jwksUrl, publicKeyFile, secret].filter((source) => source !== undefined).length !== 1) {
    throw new TypeError('a token verifier needs exactly one key source');
  }
  if (jwksUrl !== undefined) {
    const keys = remoteKeys(new URL(jwksUrl));
    return async (token, options) =>
      (await jwtVerify(token, keys, { ...options, algorithms: ['RS256', 'ES256', 'EdDSA', 'Ed25519'] }))
        .payload;
  }
  if (publicKeyFile !== undefined) {
    const key = createPublicKey(await readFile(publicKeyFile, 'utf8'));
    const algorithm = algorithmOf(key);
    if (algorithm === null) throw new TypeError(`${publicKeyFile} holds a key that no token algorithm uses`);
    const algorithms = algorithm === 'EdDSA' ? ['EdDSA', 'Ed25519'] : [algorithm];
    return async (token, options) => (await jwtVerify(token, key, { ...options, algorithms })).payload;
  }
  // A KeyObject, as jose imports raw bytes anew for each token.
  const key = createSecretKey(secret ?? '', 'utf8');
  return async (token, options) =>
    (await jwtVerify(token, key, { ...options, algorithms: ['HS256'] })).payload;
}

function checkClaims(payload: JWTPayload, scope: string): VerifiedToken {
  const { sub, exp } = payload;
  if (typeof sub !== 'string' || !SUBJECT.test(sub)) {
    throw new TokenError('token_invalid', "the token's subject must be 1 to 64 of A-Za-z0-9_-");
  }
  // Verified to be there and a number; the compiler cannot know it.
  if (exp === undefined) throw new TokenError('token_invalid', 'the token has no expiry');
  const scopes = typeof payload.scope === 'string' ? payload.scope.split(' ').filter((s) => s !== '') : [];
  if (!scopes.includes(scope)) throw new TokenError('token_scope', `the token lacks the scope ${scope}`);
  return { subject: sub, expiresAtMs: exp * 1000, scopes };
}

function tokenErrorFrom(cause: unknown): TokenError {
  if (cause instanceof TokenError) return cause;
  if (cause instanceof errors.JWTExpired) {
    return new TokenError('token_expired', 'the token has expired', { cause });
  }
  if (cause instanceof errors.JWTClaimValidationFailed) {
    return new TokenError('token_invalid', `the token's claim ${cause.claim} does not fit`, { cause });
  }
  return new TokenError('token_invalid', 'the token cannot be verified', { cause });
}

/** The issuer's published keys, with its outages told from tokens that name no such key. */
function remoteKeys(url: URL): JWTVerifyGetKey {
  const remote = createRemoteJWKSet(url, {
    cooldownDuration: JWKS_COOLDOWN_MS,
    timeoutDuration: JWKS_TIMEOUT_MS,
    [customFetch]: pausingFetch(),
  });
  return async (header, token) => {
    try {
      return await remote(header, token);
    } catch (cause) {
      const isAboutToken = [
        errors.JWKSNoMatchingKey,
        errors.JWKSMultipleMatchingKeys,
        errors.JOSENotSupported,
      ].some((kind) => cause instanceof kind);
      if (isAboutToken) throw cause;
      throw new TokenError('keys_unavailable', "the token issuer's keys cannot be had now", { cause });
    }
  };
}

function pausingFetch(): FetchImplementation {
  let notBefore = 0;
  return async (url, options) => {
    if (performance.now() < notBefore) throw new Error('the last fetch of the keys failed a moment ago');
    let isGood = false;
    try {
      const response = await fetch(url, options);
      isGood = response.ok;
      return response;
    } finally {
      notBefore = isGood ? 0 : performance.now() + JWKS_RETRY_MS;
    }
  };
}

// Identifies a caller and its rights: JSON Web Tokens, verified against one key source.
//
// The algorithms depend on the key source and never on the token, so a public key cannot be used as an HS256 secret. A
// token must have issuer, audience, expiry and a subject that is a valid driver id.

import { createPublicKey, createSecretKey, type KeyObject } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import {
  decodeJwt,
  decodeProtectedHeader,
  errors,
  type JWTPayload,
  type JWTVerifyOptions,
  jwtVerify,
} from 'jose';
import { type FetchPace, IssuerKeys } from './issuer-keys.js';
import type { Logger } from './log.js';
import type { Metrics } from './metrics.js';
import { ALGORITHM_NAMES, algorithmOf, fittingKeys, type IssuerKey } from './public-keys.js';

/** Exactly one of the first three. */
export interface TokenSettings {
  jwksUrl?: string;
  /** With jwksUrl: how long its keys are used after the last fetch; a day by default. */
  keysMaxAgeMs?: number;
  publicKeyFile?: string;
  secret?: string;
  issuer: string;
  audience: string;
}

export interface VerifiedToken {
  subject: string;
  /** With the leeway. Set by the issuer, may be years away: more than a timer can wait. */
  expiresAtMs: number;
  scopes: string[];
}

/** Throws TokenError, nothing else. */
export type TokenVerifier = (token: string, scope: string) => Promise<VerifiedToken>;

export interface RunningTokenVerifier extends TokenVerifier {
  /** For `/readyz?verbose`: the state of the issuer's keys, if they are fetched. */
  checks(): { name: string; ok: boolean; detail: string }[];
  close(): void;
}

export interface TokenVerifierParts {
  log?: Logger;
  metrics?: Metrics;
  /** Other than the usual one: for tests. */
  pace?: Partial<FetchPace>;
}

/**
 * The last two are not the token's fault, so try again: `keys_unavailable` if the issuer's keys could not be fetched,
 * `key_unknown` if the token's key is not among them, perhaps not yet.
 */
export type TokenErrorCode =
  | 'token_missing'
  | 'token_invalid'
  | 'token_expired'
  | 'token_scope'
  | 'keys_unavailable'
  | 'key_unknown';

export class TokenError extends Error {
  readonly retryable: boolean;

  constructor(
    readonly code: TokenErrorCode,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
    this.name = 'TokenError';
    this.retryable = code === 'keys_unavailable' || code === 'key_unknown';
  }
}

const SUBJECT = /^[A-Za-z0-9_-]{1,64}$/;
// A token that a proxy's header limit (8 KiB, commonly) lets through at all.
const MAX_TOKEN_CHARS = 8192;
/** How far our clock and the issuer's may be apart, for exp and nbf. */
export const LEEWAY_S = 5;
const DEFAULT_KEYS_MAX_AGE_MS = 86_400_000;

type Verify = (token: string, options: JWTVerifyOptions) => Promise<JWTPayload>;

export async function createTokenVerifier(
  settings: TokenSettings,
  parts: TokenVerifierParts = {},
): Promise<RunningTokenVerifier> {
  const { jwksUrl, issuer, audience } = settings;
  const sources = [jwksUrl, settings.publicKeyFile, settings.secret];
  if (sources.filter((source) => source !== undefined).length !== 1) {
    throw new TypeError('a token verifier needs exactly one key source');
  }
  const keys =
    jwksUrl === undefined
      ? null
      : new IssuerKeys(new URL(jwksUrl), settings.keysMaxAgeMs ?? DEFAULT_KEYS_MAX_AGE_MS, parts);
  if (parts.metrics !== undefined) keys?.register(parts.metrics);
  const verify = keys === null ? await ownKey(settings) : issuerKeys(keys);
  const options = { issuer, audience, requiredClaims: ['exp', 'sub'], clockTolerance: LEEWAY_S };
  const verifyToken: TokenVerifier = async (token, scope) => {
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
  return Object.assign(verifyToken, {
    checks: () => (keys === null ? [] : [keys.check()]),
    close: () => keys?.close(),
  });
}

/** The subject of a token, unverified: only good for an early refusal. Null if it has none. */
export function claimedSubject(token: string): string | null {
  try {
    const { sub } = decodeJwt(token);
    return sub ?? null;
  } catch {
    return null;
  }
}

/** A public key from a file, or a secret. */
async function ownKey({ publicKeyFile, secret }: TokenSettings): Promise<Verify> {
  let algorithms: string[] = ['HS256'];
  let key: KeyObject;
  if (publicKeyFile === undefined) {
    // A KeyObject, because jose imports raw bytes again for each token.
    key = createSecretKey(secret ?? '', 'utf8');
  } else {
    key = createPublicKey(await readFile(publicKeyFile, 'utf8'));
    const algorithm = algorithmOf(key);
    if (algorithm === null) throw new TypeError(`${publicKeyFile} holds a key that no token algorithm uses`);
    algorithms = [...ALGORITHM_NAMES[algorithm]];
  }
  return async (token, options) => (await jwtVerify(token, key, { ...options, algorithms })).payload;
}

/** If no known key verifies the token, the issuer may have changed its keys: fetch them once before the verdict. */
function issuerKeys(keys: IssuerKeys): Verify {
  return async (token, options) => {
    const header = headerOf(token);
    const known = keys.current();
    const payload = await verifiedByAny(fittingKeys(known ?? [], header), token, options);
    if (payload !== null) return payload;
    refuseWhateverTheKey(token, options);
    await keys.refreshed();
    const current = keys.current();
    if (current === null) {
      throw new TokenError('keys_unavailable', "the token issuer's keys cannot be had now");
    }
    const fitting = fittingKeys(current, header);
    const verified = current === known ? null : await verifiedByAny(fitting, token, options);
    if (verified !== null) return verified;
    if (fitting.length > 0) throw new TokenError('token_invalid', "the token's signature does not fit");
    throw new TokenError('key_unknown', "the token's key is not among the issuer's, or not yet");
  };
}

function headerOf(token: string): { alg: string; kid: string | undefined } {
  const { alg, kid } = decodeProtectedHeader(token) as { alg?: unknown; kid?: unknown };
  const names = Object.values(ALGORITHM_NAMES).flat();
  if (typeof alg !== 'string' || !names.includes(alg)) {
    throw new TokenError('token_invalid', `the token's algorithm is none of ${names.join(', ')}`);
  }
  if (kid !== undefined && typeof kid !== 'string') {
    throw new TokenError('token_invalid', "the token's key id is not a string");
  }
  return { alg, kid };
}

/** Null if none of these keys verifies the signature. */
async function verifiedByAny(
  keys: readonly IssuerKey[],
  token: string,
  options: JWTVerifyOptions,
): Promise<JWTPayload | null> {
  for (const { key, algorithm } of keys) {
    try {
      const algorithms = [...ALGORITHM_NAMES[algorithm]];
      return (await jwtVerify(token, key, { ...options, algorithms })).payload;
    } catch (error) {
      if (!(error instanceof errors.JWSSignatureVerificationFailed)) throw error;
    }
  }
  return null;
}

/**
 * Claims that no key can mend, so that an expired token is called expired though its key has been withdrawn, and other
 * issuers' tokens cost no fetch. Nothing is verified here: it may refuse a token and never lets one pass.
 */
function refuseWhateverTheKey(token: string, { issuer, audience }: JWTVerifyOptions): void {
  const { iss, aud, exp } = decodeJwt(token);
  if (typeof exp === 'number' && exp + LEEWAY_S <= Math.floor(Date.now() / 1000)) {
    throw new TokenError('token_expired', 'the token has expired');
  }
  if (iss !== issuer) throw new TokenError('token_invalid', "the token's claim iss does not fit");
  if (![aud].flat().includes(audience as string)) {
    throw new TokenError('token_invalid', "the token's claim aud does not fit");
  }
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
  return { subject: sub, expiresAtMs: (Math.ceil(exp) + LEEWAY_S) * 1000, scopes };
}

function tokenErrorFrom(cause: unknown): TokenError {
  if (cause instanceof TokenError) return cause;
  if (cause instanceof errors.JWTExpired) {
    return new TokenError('token_expired', 'the token has expired', { cause });
  }
  if (cause instanceof errors.JWTClaimValidationFailed) {
    if (cause.claim === 'nbf' && cause.reason === 'check_failed') {
      const detail = `the token is not valid yet: its nbf is more than ${LEEWAY_S} s ahead of this server's clock`;
      return new TokenError('token_invalid', detail, { cause });
    }
    return new TokenError('token_invalid', `the token's claim ${cause.claim} does not fit`, { cause });
  }
  return new TokenError('token_invalid', 'the token cannot be verified', { cause });
}

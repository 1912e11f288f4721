// Public keys that may verify tokens: which algorithm each is for, and which of a JSON Web Key Set fit a token.
import { createPublicKey, type JsonWebKey, type KeyObject } from 'node:crypto';

export type TokenAlgorithm = 'RS256' | 'ES256' | 'EdDSA';

export interface IssuerKey {
  kid: string | undefined;
  algorithm: TokenAlgorithm;
  key: KeyObject;
}

/** The names that a token's header may have for each algorithm. */
export const ALGORITHM_NAMES: Readonly<Record<TokenAlgorithm, readonly string[]>> = Object.freeze({
  RS256: ['RS256'],
  ES256: ['ES256'],
  EdDSA: ['EdDSA', 'Ed25519'],
});

const MIN_RSA_BITS = 2048;
// Verifying with one costs about 0.1 ms, and a token without a key id is tried with each that fits.
const MAX_FITTING_KEYS = 16;

class KeySetError extends Error {
  readonly code = 'bad_key_set';
}

/** The algorithm that tokens signed for this public key use; null where we take no such key. */
export function algorithmOf(key: KeyObject): TokenAlgorithm | null {
  const details = key.asymmetricKeyDetails;
  if (key.asymmetricKeyType === 'rsa') return (details?.modulusLength ?? 0) >= MIN_RSA_BITS ? 'RS256' : null;
  if (key.asymmetricKeyType === 'ec') return details?.namedCurve === 'prime256v1' ? 'ES256' : null;
  return key.asymmetricKeyType === 'ed25519' ? 'EdDSA' : null;
}

/** The keys of a published set that we can use. The others are passed over (RFC 7517, 5); none left is an error. */
export function readKeySet(text: string): IssuerKey[] {
  let set: unknown;
  try {
    set = JSON.parse(text);
  } catch (cause) {
    throw new KeySetError('it is not JSON', { cause });
  }
  const published = (set as { keys?: unknown } | null)?.keys;
  if (!Array.isArray(published)) throw new KeySetError('it has no array of keys');
  const keys = published.flatMap((jwk) => readKey(jwk) ?? []);
  if (keys.length === 0) throw new KeySetError(`none of its ${published.length} keys can verify tokens`);
  return keys;
}

/**
 * A key id selects its key. Keys without an id are tried for every token, as the id is only a hint (RFC 7515, 4.1.4). For
 * a token without an id, all keys are tried.
 */
export function fittingKeys(
  keys: readonly IssuerKey[],
  header: { alg: string; kid: string | undefined },
): IssuerKey[] {
  const able = keys.filter(({ algorithm }) => ALGORITHM_NAMES[algorithm].includes(header.alg));
  const named = able.filter(({ kid }) => header.kid === undefined || kid === header.kid);
  const fitting = named.length > 0 ? named : able.filter(({ kid }) => kid === undefined);
  return fitting.slice(0, MAX_FITTING_KEYS);
}

function readKey(jwk: unknown): IssuerKey | null {
  if (typeof jwk !== 'object' || jwk === null) return null;
  const { use, key_ops, alg, kid, d } = jwk as Record<string, unknown>;
  // A private key that was published by mistake: everyone who read it can sign for any driver.
  if (d !== undefined) return null;
  if (use !== undefined && use !== 'sig') return null;
  if (Array.isArray(key_ops) && !key_ops.includes('verify')) return null;
  let key: KeyObject;
  try {
    key = createPublicKey({ key: jwk as JsonWebKey, format: 'jwk' });
  } catch {
    return null;
  }
  const algorithm = algorithmOf(key);
  if (algorithm === null) return null;
  if (alg !== undefined && !ALGORITHM_NAMES[algorithm].includes(String(alg))) return null;
  return { kid: typeof kid === 'string' ? kid : undefined, algorithm, key };
}

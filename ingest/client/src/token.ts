// When a token expires, read from the token without verifying it: only the server can do that.

const RENEW_LEAD_MS = 60_000;

/** Epoch ms, or null if the token has no expiry. */
function tokenExpiresAtMs(token: string): number | null {
  const payload = token.split('.')[1];
  if (payload === undefined) return null;
  try {
    const claims: unknown = JSON.parse(atob(payload.replaceAll('-', '+').replaceAll('_', '/')));
    const exp = (claims as { exp?: unknown } | null)?.exp;
    return typeof exp === 'number' ? exp * 1000 : null;
  } catch {
    return null; // opaque, or of another format: the server will report its expiry
  }
}

/** A minute before the end, or at half its life if the token is short-lived. */
export function renewDelayMs(token: string, serverTimeMs: number): number {
  const expiresAtMs = tokenExpiresAtMs(token);
  if (expiresAtMs === null) return Number.POSITIVE_INFINITY;
  const leftMs = Math.max(expiresAtMs - serverTimeMs, 0);
  return leftMs - Math.min(RENEW_LEAD_MS, leftMs / 2);
}

// When a token ends, read from the token itself and not verified: only the server can do that.

const RENEW_LEAD_MS = 60_000;

/** Epoch ms, or null where the token does not say. */
function tokenExpiresAtMs(token: string): number | null {
  const payload = token.split('.')[1];
  if (payload === undefined) return null;
  try {
    const claims: unknown = JSON.parse(atob(payload.replaceAll('-', '+').replaceAll('_', '/')));
    const exp = (claims as { exp?: unknown } | null)?.exp;
    return typeof exp === 'number' ? exp * 1000 : null;
  } catch {
    return null; // opaque, or of another making: the server will tell when it has ended
  }
}

/** A minute before the end, and for a token of a short life at its half. */
export function renewDelayMs(token: string, serverTimeMs: number): number {
  const expiresAtMs = tokenExpiresAtMs(token);
  if (expiresAtMs === null) return Number.POSITIVE_INFINITY;
  const leftMs = Math.max(expiresAtMs - serverTimeMs, 0);
  return leftMs - Math.min(RENEW_LEAD_MS, leftMs / 2);
}

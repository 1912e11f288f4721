// Parses an HTTP answer that came instead of a WebSocket, for the close event and the wait. Only Node can see it.
import { CLOSE_CODES } from './protocol.js';
import { retryAfterMs } from './reconnect.js';

/** What is read of Node's `IncomingMessage`, described without Node's types. */
export interface HttpAnswer {
  statusCode?: number | undefined;
  statusMessage?: string | undefined;
  headers: Record<string, string | string[] | undefined>;
  setEncoding(encoding: 'utf8'): unknown;
  on(event: string, listener: (piece: string) => void): unknown;
}

export interface HandshakeRefusal {
  status: number;
  reason: string;
  retryAfterMs: number;
}

/** Describes the end of a connection that nobody closed, or that was never made. */
export const ABNORMAL_CLOSE = 1006;
const BODY_DEADLINE_MS = 1000;
const MAX_BODY_CHARS = 4096;
const MAX_REASON_CHARS = 300;

export async function readRefusal(response: HttpAnswer): Promise<HandshakeRefusal> {
  const { statusCode: status = 0, headers } = response;
  const header = (name: string): string | undefined => [headers[name]].flat()[0];
  const said = problemIn(await bodyOf(response)) ?? header('location') ?? response.statusMessage ?? '';
  return {
    status,
    reason: `HTTP ${status} ${said}`.trim().slice(0, MAX_REASON_CHARS),
    retryAfterMs: retryAfterMs(header('retry-after'), header('date')),
  };
}

/** A refused handshake means the same as the close code for that trouble. */
export function closeCodeOf(status: number): number {
  if (status === 401) return CLOSE_CODES.tokenExpired;
  if (status === 403) return CLOSE_CODES.forbidden;
  if (status === 429 || status === 503) return CLOSE_CODES.overloaded;
  return ABNORMAL_CLOSE;
}

/** The code and detail of a problem (RFC 9457). */
function problemIn(body: string): string | null {
  try {
    const { code, detail } = JSON.parse(body) as { code?: unknown; detail?: unknown };
    return typeof code === 'string' ? `${code}: ${String(detail)}` : null;
  } catch {
    return null; // a proxy's page
  }
}

/** At least the beginning of the body, and what has arrived by the deadline. */
function bodyOf(response: HttpAnswer): Promise<string> {
  return new Promise((resolve) => {
    let text = '';
    const end = (): void => {
      clearTimeout(timer);
      resolve(text);
    };
    const timer = setTimeout(end, BODY_DEADLINE_MS);
    response.setEncoding('utf8');
    response.on('data', (piece: string) => {
      text += piece;
      if (text.length >= MAX_BODY_CHARS) end();
    });
    for (const event of ['end', 'error', 'close']) response.on(event, end);
  });
}

// Reads what a handshake asks for, and decides the refusals that can still be sent over HTTP. Pure.
import {
  ACK_MODES,
  type AckMode,
  SUBPROTOCOL_BEARER_PREFIX,
  SUBPROTOCOL_BIN,
  SUBPROTOCOL_JSON,
} from '@whereabouts/client/protocol';
import type { TokenError } from '@whereabouts/infra/service/tokens';

export const LOCATION_SCOPE = 'location:write';

/** Copied out of the request, which is gone after the first await. */
export interface UpgradeRequest {
  query: string;
  authorization: string;
  subprotocols: string;
}

export interface Admission {
  ackMode: AckMode;
  binary: boolean;
  /** The subprotocol of the answer: none if none was offered. */
  subprotocol: string;
  token: string;
}

export interface Refusal {
  status: number;
  title: string;
  /** For the metric: one of a few. */
  reason: string;
  detail: string;
  headers: readonly (readonly [string, string])[];
}

const NO_HEADERS = [] as const;
const RETRY_AFTER_S = '2';

function badRequest(detail: string): Refusal {
  return { status: 400, title: 'Bad Request', reason: 'bad_request', detail, headers: NO_HEADERS };
}

export function unavailable(reason: string, detail: string): Refusal {
  const headers = [['Retry-After', RETRY_AFTER_S]] as const;
  return { status: 503, title: 'Service Unavailable', reason, detail, headers };
}

/** For a driver who is kept out for misbehaving or for connecting too often. */
export function tooOften(pauseMs: number): Refusal {
  const seconds = Math.ceil(pauseMs / 1000);
  const headers = [['Retry-After', String(seconds)]] as const;
  const detail = `this driver connects too often, or was cut off for misuse: come back in ${seconds} s`;
  return { status: 429, title: 'Too Many Requests', reason: 'too_fast', detail, headers };
}

export const NOT_FOUND: Refusal = Object.freeze({
  status: 404,
  title: 'Not Found',
  reason: 'not_found',
  detail: 'here is the WebSocket /v1/stream',
  headers: NO_HEADERS,
});

export const UPGRADE_REQUIRED: Refusal = Object.freeze({
  status: 426,
  title: 'Upgrade Required',
  reason: 'no_upgrade',
  detail: '/v1/stream is a WebSocket',
  headers: [
    ['Upgrade', 'websocket'],
    ['Connection', 'Upgrade'],
  ] as const,
});

export function isRefusal(answer: Admission | Refusal): answer is Refusal {
  return 'status' in answer;
}

export function readUpgrade(request: UpgradeRequest): Admission | Refusal {
  const ackMode = readAckMode(request.query);
  if (ackMode === null) {
    return badRequest(`the query takes ack=each or ack=sparse, once, and nothing else`);
  }
  const offered = request.subprotocols
    .split(',')
    .map((name) => name.trim())
    .filter((name) => name !== '');
  const bearer = offered.find((name) => name.startsWith(SUBPROTOCOL_BEARER_PREFIX));
  const named = offered.filter((name) => !name.startsWith(SUBPROTOCOL_BEARER_PREFIX));
  const subprotocol = named.find((name) => name === SUBPROTOCOL_JSON || name === SUBPROTOCOL_BIN) ?? '';
  if (subprotocol === '' && named.length > 0) {
    return badRequest(`offer the subprotocol ${SUBPROTOCOL_JSON} or ${SUBPROTOCOL_BIN}`);
  }
  return {
    ackMode,
    binary: subprotocol === SUBPROTOCOL_BIN,
    subprotocol,
    token: bearerOf(request.authorization) ?? bearer?.slice(SUBPROTOCOL_BEARER_PREFIX.length) ?? '',
  };
}

export function refusalOf(error: TokenError): Refusal {
  const { code, message } = error;
  if (code === 'keys_unavailable' || code === 'key_unknown') return unavailable(code, message);
  if (code === 'token_scope') {
    const challenge = `Bearer error="insufficient_scope", scope="${LOCATION_SCOPE}"`;
    const headers = [['WWW-Authenticate', challenge]] as const;
    return { status: 403, title: 'Forbidden', reason: code, detail: message, headers };
  }
  const challenge = code === 'token_missing' ? 'Bearer' : 'Bearer error="invalid_token"';
  const headers = [['WWW-Authenticate', challenge]] as const;
  return { status: 401, title: 'Unauthorized', reason: code, detail: message, headers };
}

/** RFC 9457. */
export function problemJson({ status, title, detail, reason }: Refusal): string {
  return JSON.stringify({ type: 'about:blank', title, status, detail, code: reason });
}

function readAckMode(query: string): AckMode | null {
  if (query === '') return 'each';
  const fields = [...new URLSearchParams(query)];
  const [name, value] = fields[0] ?? ['', ''];
  if (fields.length !== 1 || name !== 'ack') return null;
  return ACK_MODES.find((mode) => mode === value) ?? null;
}

function bearerOf(authorization: string): string | undefined {
  return /^bearer +(\S+) *$/i.exec(authorization)?.[1];
}

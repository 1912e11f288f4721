// The messages of the WebSocket `/v1/stream`, in wire naming (snake_case), for both ends. PROTOCOL.md at the repository
// root defines their meaning; frame.ts is the binary form of the same messages. Only shapes are checked here. The
// server decides whether a position is possible.

export const STREAM_PATH = '/v1/stream';
export const SUBPROTOCOL_JSON = 'whereabouts.v1.json';
export const SUBPROTOCOL_BIN = 'whereabouts.v1.bin';
/** For browsers, which cannot set a header: a second subprotocol `bearer.<jwt>`. */
export const SUBPROTOCOL_BEARER_PREFIX = 'bearer.';

export const ACK_MODES = ['each', 'sparse'] as const;
export type AckMode = (typeof ACK_MODES)[number];

export const STATUSES = ['offline', 'available', 'busy'] as const; // the index is the code in a frame
export type Status = (typeof STATUSES)[number];

export const DURABILITIES = ['cache', 'replicated'] as const; // the index is the code in a frame
export type Durability = (typeof DURABILITIES)[number];

/** The index is the code in a frame, so a new code goes to the end. */
export const NACK_CODES = [
  'bad_message',
  'bad_position',
  'clock_ahead',
  'too_old',
  'stale',
  'too_fast',
  'region_unavailable',
  'overloaded',
  'not_ready',
  'too_many_checkpoints',
  'checkpoint_conflict',
] as const;
export type NackCode = (typeof NACK_CODES)[number];
/** Codes that a client may meet: a later server may know more, and `retryable` says how to handle them. */
export type AnyNackCode = NackCode | (string & Record<never, never>);

export const RETRYABLE: Readonly<Record<NackCode, boolean>> = Object.freeze({
  bad_message: false,
  bad_position: false,
  clock_ahead: false,
  too_old: false,
  stale: false,
  too_fast: false,
  region_unavailable: true,
  overloaded: true,
  not_ready: true,
  too_many_checkpoints: false,
  checkpoint_conflict: false,
});

export const CLOSE_CODES = Object.freeze({
  normal: 1000,
  goingAway: 1001,
  tooLarge: 1009,
  restarting: 1012,
  overloaded: 1013,
  badMessage: 4400,
  tokenExpired: 4401,
  forbidden: 4403,
  silent: 4408,
  superseded: 4409,
  tooFast: 4429,
} as const);

/** The limits that are part of the contract; those that an operator sets come with `hello`. */
export const MAX_MESSAGE_BYTES = 4096;
export const MAX_POSITIONS = 100;
export const MAX_SEQ = 2 ** 32 - 1;
export const MAX_CLOCK_AHEAD_MS = 5000;
export const MAX_WAITING_CHECKPOINTS = 10;
export const MAX_CHECKPOINT_AGE_MS = 24 * 60 * 60 * 1000;
export const CHECKPOINT_ID = /^[A-Za-z0-9_-]{1,64}$/;
/** `ack=sparse`: at most one acknowledgement in this time, unless one is due at once. */
export const SPARSE_ACK_INTERVAL_MS = 10_000;

/** A report as its sender means it. */
export interface PositionReport {
  seq: number;
  recorded_at_ms: number;
  lat: number;
  lon: number;
  heading_deg?: number | undefined;
  speed_mps?: number | undefined;
  accuracy_m?: number | undefined;
  status?: Status | undefined;
  services?: number | undefined;
  checkpoint?: boolean | undefined;
  checkpoint_id?: string | undefined;
}

/** A report as received: `seq` is valid, the rest still has to be validated. */
export type UncheckedPosition = { seq: number } & {
  [Field in Exclude<keyof PositionReport, 'seq'>]?: unknown;
};

export type PositionMessage<P = UncheckedPosition> = { type: 'position' } & P;
export interface PositionsMessage<P = UncheckedPosition> {
  type: 'positions';
  positions: P[];
}
export interface ByeMessage {
  type: 'bye';
}
export interface TokenMessage {
  type: 'token';
  token: string;
}
export type ClientMessage<P = UncheckedPosition> =
  | PositionMessage<P>
  | PositionsMessage<P>
  | ByeMessage
  | TokenMessage;

export interface HelloLimits {
  report_interval_ms: number;
  max_reports_per_s: number;
  burst: number;
  max_message_bytes: number;
  max_positions: number;
  freshness_ms: number;
  max_clock_ahead_ms: number;
  max_waiting_checkpoints: number;
  /** Missing from earlier servers. */
  checkpoints_per_min?: number;
  checkpoint_burst?: number;
}
export interface HelloMessage {
  type: 'hello';
  session: number;
  server_time_ms: number;
  limits: HelloLimits;
  durability: Durability;
}
export interface AckMessage {
  type: 'ack';
  seq: number;
  /** Only if it is less than what `hello` promised. */
  durability?: Durability;
}
export interface PersistedMessage {
  type: 'persisted';
  seq: number;
}
export interface NackMessage {
  type: 'nack';
  seq: number | null;
  code: AnyNackCode;
  retryable: boolean;
  retry_after_ms?: number;
  detail: string;
}
export interface PaceMessage {
  type: 'pace';
  report_interval_ms: number;
}
export type ServerMessage = HelloMessage | AckMessage | PersistedMessage | NackMessage | PaceMessage;

/** A message that cannot be parsed. `seq` is that of the report in question, if it could be read. */
export class ProtocolError extends Error {
  readonly code = 'bad_message';
  readonly seq: number | null;
  readonly detail: string;

  constructor(detail: string, seq: number | null = null, options?: ErrorOptions) {
    super(detail, options);
    this.name = 'ProtocolError';
    this.seq = seq;
    this.detail = detail;
  }
}

/** For servers: a nack whose `retryable` agrees with its code. */
export function nackMessage(
  code: NackCode,
  seq: number | null,
  detail: string,
  retryAfterMs?: number,
): NackMessage {
  const nack: NackMessage = { type: 'nack', seq, code, retryable: RETRYABLE[code], detail };
  if (retryAfterMs !== undefined) nack.retry_after_ms = retryAfterMs;
  return nack;
}

/** More acknowledgements are sent than all other messages together, so they are written without JSON.stringify. */
export function formatAck(seq: number, durability?: Durability): string {
  return durability === undefined
    ? `{"type":"ack","seq":${seq}}`
    : `{"type":"ack","seq":${seq},"durability":"${durability}"}`;
}

export function isSeq(value: unknown): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 1 && value <= MAX_SEQ;
}

export type Fields = Record<string, unknown>;

export function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export function parseFields(text: string): Fields {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new ProtocolError('not JSON', null, { cause });
  }
  if (!isFields(value)) throw new ProtocolError('not a JSON object');
  return value;
}

/** The server's side. Unknown fields are ignored, so that later clients may send more. */
export function parseClientMessage(text: string): ClientMessage {
  const fields = parseFields(text);
  switch (fields.type) {
    case 'position':
      requireSeq(fields);
      return fields as unknown as PositionMessage;
    case 'positions':
      return { type: 'positions', positions: parsePositions(fields.positions) };
    case 'bye':
      return { type: 'bye' };
    case 'token':
      if (typeof fields.token !== 'string' || fields.token === '')
        throw new ProtocolError('token: expected a string');
      return { type: 'token', token: fields.token };
    default:
      throw new ProtocolError('type: not one of position, positions, bye, token', seqOf(fields));
  }
}

function parsePositions(value: unknown): UncheckedPosition[] {
  if (!Array.isArray(value)) throw new ProtocolError('positions: expected an array');
  if (value.length === 0) throw new ProtocolError('positions: empty');
  if (value.length > MAX_POSITIONS) throw new ProtocolError(`positions: more than ${MAX_POSITIONS}`);
  for (const item of value) {
    if (!isFields(item)) throw new ProtocolError('positions: expected objects');
    requireSeq(item);
  }
  return value as UncheckedPosition[];
}

function requireSeq(fields: Fields): void {
  if (!isSeq(fields.seq)) throw new ProtocolError(`seq: expected an integer from 1 to ${MAX_SEQ}`);
}

function seqOf(fields: Fields): number | null {
  return isSeq(fields.seq) ? fields.seq : null;
}

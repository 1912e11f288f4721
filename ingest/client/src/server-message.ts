// The client's side of the JSON form: parses what a server sends into the types of protocol.ts.
import {
  type AckMessage,
  DURABILITIES,
  type Durability,
  type Fields,
  type HelloMessage,
  isFields,
  type NackMessage,
  ProtocolError,
  parseFields,
  type ServerMessage,
} from './protocol.js';

/** Throws at an unknown type; a client ignores such messages. */
export function parseServerMessage(text: string): ServerMessage {
  const fields = parseFields(text);
  switch (fields.type) {
    case 'hello':
      return parseHello(fields);
    case 'ack':
      return parseAck(fields);
    case 'persisted':
      return { type: 'persisted', seq: numberIn(fields, 'seq') };
    case 'nack':
      return parseNack(fields);
    case 'pace':
      return { type: 'pace', report_interval_ms: numberIn(fields, 'report_interval_ms') };
    default:
      throw new ProtocolError('type: not one of hello, ack, persisted, nack, pace');
  }
}

function numberIn(fields: Fields, name: string): number {
  const value = fields[name];
  if (typeof value !== 'number' || !Number.isFinite(value) || value < 0)
    throw new ProtocolError(`${name}: expected a number`);
  return value;
}

function optionalNumberIn<K extends string>(fields: Fields, name: K): { [name in K]?: number } {
  return fields[name] === undefined ? {} : ({ [name]: numberIn(fields, name) } as { [name in K]: number });
}

function durabilityIn(fields: Fields): Durability {
  const found = DURABILITIES.find((durability) => durability === fields.durability);
  if (found === undefined) throw new ProtocolError(`durability: not one of ${DURABILITIES.join(', ')}`);
  return found;
}

function parseHello(fields: Fields): HelloMessage {
  const limits = fields.limits;
  if (!isFields(limits)) throw new ProtocolError('limits: expected an object');
  return {
    type: 'hello',
    session: numberIn(fields, 'session'),
    server_time_ms: numberIn(fields, 'server_time_ms'),
    limits: {
      report_interval_ms: numberIn(limits, 'report_interval_ms'),
      max_reports_per_s: numberIn(limits, 'max_reports_per_s'),
      burst: numberIn(limits, 'burst'),
      max_message_bytes: numberIn(limits, 'max_message_bytes'),
      max_positions: numberIn(limits, 'max_positions'),
      freshness_ms: numberIn(limits, 'freshness_ms'),
      max_clock_ahead_ms: numberIn(limits, 'max_clock_ahead_ms'),
      max_waiting_checkpoints: numberIn(limits, 'max_waiting_checkpoints'),
      ...optionalNumberIn(limits, 'checkpoints_per_min'),
      ...optionalNumberIn(limits, 'checkpoint_burst'),
    },
    durability: durabilityIn(fields),
  };
}

function parseAck(fields: Fields): AckMessage {
  const ack: AckMessage = { type: 'ack', seq: numberIn(fields, 'seq') };
  if (fields.durability !== undefined) ack.durability = durabilityIn(fields);
  return ack;
}

function parseNack(fields: Fields): NackMessage {
  if (typeof fields.code !== 'string') throw new ProtocolError('code: expected a string');
  if (typeof fields.retryable !== 'boolean') throw new ProtocolError('retryable: expected true or false');
  const nack: NackMessage = {
    type: 'nack',
    seq: fields.seq === null ? null : numberIn(fields, 'seq'),
    code: fields.code,
    retryable: fields.retryable,
    detail: typeof fields.detail === 'string' ? fields.detail : '',
  };
  if (fields.retry_after_ms !== undefined) nack.retry_after_ms = numberIn(fields, 'retry_after_ms');
  return nack;
}

// The two forms of the protocol, JSON and binary frames, behind one interface.
import {
  decodeClientMessage,
  encodeAck,
  encodeAckInto,
  encodeServerMessage,
} from '@whereabouts/client/frame';
import {
  type ClientMessage,
  type Durability,
  formatAck,
  parseClientMessage,
  type ServerMessage,
} from '@whereabouts/client/protocol';

export type Payload = string | Uint8Array;

export interface Dialect {
  readonly binary: boolean;
  /** Throws ProtocolError. */
  decode(message: ArrayBuffer): ClientMessage;
  encode(message: ServerMessage): Payload;
  /** Valid until the next acknowledgement is made: one buffer serves every socket. */
  ack(seq: number, durability: Durability | undefined): Payload;
}

// One buffer for each number of digits, of which only the digits are ever written: bytes reach the socket
// without the copies that a string costs, and acknowledgements are most of what is sent.
const ACK_HEAD = '{"type":"ack","seq":';
const ZERO = 48;
const jsonAcks = Array.from({ length: 11 }, (_, digits) =>
  new TextEncoder().encode(`${ACK_HEAD}${'0'.repeat(digits)}}`),
);
const binaryAck = new Uint8Array(encodeAck(1).length);

function jsonAck(seq: number): Uint8Array {
  let digits = 1;
  for (let limit = 10; seq >= limit; limit *= 10) digits++;
  const bytes = jsonAcks[digits] as Uint8Array;
  let rest = seq;
  for (let at = ACK_HEAD.length + digits - 1; at >= ACK_HEAD.length; at--) {
    const tens = Math.floor(rest / 10);
    bytes[at] = ZERO + rest - tens * 10;
    rest = tens;
  }
  return bytes;
}

export const JSON_DIALECT: Dialect = Object.freeze({
  binary: false,
  decode: (message: ArrayBuffer) => parseClientMessage(Buffer.from(message).toString('utf8')),
  encode: (message: ServerMessage) => JSON.stringify(message),
  ack: (seq: number, durability: Durability | undefined) =>
    durability === undefined ? jsonAck(seq) : formatAck(seq, durability),
});

export const BINARY_DIALECT: Dialect = Object.freeze({
  binary: true,
  decode: (message: ArrayBuffer) => decodeClientMessage(message),
  encode: (message: ServerMessage) => encodeServerMessage(message),
  ack: (seq: number, durability: Durability | undefined) => {
    if (durability !== undefined) return encodeAck(seq, durability);
    encodeAckInto(binaryAck, seq);
    return binaryAck;
  },
});

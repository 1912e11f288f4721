// A process that misbehaves: one driver's socket, filled as fast as the server takes it, and opened again at once
// whenever it is closed.

import { randomBytes } from 'node:crypto';
import { connect, type Socket } from 'node:net';
import type { FlooderReport, FlooderTask, FloodKind } from './flood-kinds.js';
import { clientFrame, FRAME_PAYLOAD_AT } from './ws-socket.js';

const CHUNK_BYTES = 256 * 1024;
const PLACE = { lat: 52.5, lon: 13.4 };
const BATCH_EVERY_MS = 200;
const IDLE_SOCKETS = 19_000;
const IDLE_SOCKETS_A_ROUND = 200;
const IDLE_ROUND_MS = 50;
const IDLE_RETRY_MS = 5_000;
const PAUSE_AFTER_REFUSAL_MS = 1;

const report: FlooderReport = { connects: 0, upgrades: 0, bytes: 0 };

function textFrame(text: string): Buffer {
  const payload = Buffer.from(text);
  if (payload.length < 126) {
    const frame = clientFrame(payload.length, 1);
    payload.copy(frame, FRAME_PAYLOAD_AT);
    return frame;
  }
  const head = Buffer.from([0x81, 0xfe, payload.length >> 8, payload.length & 255, 0, 0, 0, 0]);
  return Buffer.concat([head, payload]);
}

function positionText(seq: number, lat: number): string {
  const { lon } = PLACE;
  return JSON.stringify({ type: 'position', seq, recorded_at_ms: Date.now(), lat, lon });
}

function badBatch(): string {
  const positions = Array.from({ length: 100 }, (_, i) => ({
    seq: i + 1,
    recorded_at_ms: 1,
    lat: 99,
    lon: 0,
  }));
  return JSON.stringify({ type: 'positions', positions });
}

/** Fragments of a message that never ends, each of them empty; the first begins it. */
const EMPTY_FRAGMENT = Buffer.from([0x00, 0x80, 0, 0, 0, 0]);
const FIRST_FRAGMENT = Buffer.from([0x01, 0x80, 0, 0, 0, 0]);
const PING = Buffer.from([0x89, 0x80, 0, 0, 0, 0]);

function repeated(frame: Buffer): Buffer {
  return Buffer.concat(
    Array.from({ length: Math.max(1, Math.floor(CHUNK_BYTES / frame.length)) }, () => frame),
  );
}

/** What is written again and again. */
function chunkOf(kind: FloodKind): Buffer {
  switch (kind) {
    case 'text':
      return repeated(textFrame('{'));
    case 'frames':
      return repeated(clientFrame(28, 2));
    case 'positions': {
      const seqs = Array.from({ length: 2000 }, (_, i) => i + 1);
      return Buffer.concat(seqs.map((seq) => textFrame(positionText(seq, PLACE.lat))));
    }
    case 'pings':
      return repeated(PING);
    case 'empty fragments':
      return repeated(EMPTY_FRAGMENT);
    default:
      return Buffer.alloc(0);
  }
}

function pour(socket: Socket, chunk: Buffer): void {
  const write = () => {
    if (socket.destroyed) return;
    report.bytes += chunk.length;
    if (socket.write(chunk)) setImmediate(write);
    else socket.once('drain', write);
  };
  write();
}

function upgradeText({ host, port, kind }: FlooderTask, token: string): string {
  const subprotocol = kind === 'frames' ? 'whereabouts.v1.bin' : 'whereabouts.v1.json';
  const key = randomBytes(16).toString('base64');
  return (
    `GET /v1/stream HTTP/1.1\r\nHost: ${host}:${port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n` +
    `Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${key}\r\nSec-WebSocket-Protocol: ${subprotocol}\r\n` +
    `Authorization: Bearer ${token}\r\n\r\n`
  );
}

function misbehave(task: FlooderTask, socket: Socket, chunk: Buffer): void {
  if (task.kind === 'reconnects') {
    socket.destroy();
  } else if (task.kind === 'bad batches') {
    const frame = textFrame(badBatch());
    const timer = setInterval(() => socket.write(frame), BATCH_EVERY_MS);
    socket.on('close', () => clearInterval(timer));
  } else {
    if (task.kind === 'empty fragments') socket.write(FIRST_FRAGMENT);
    pour(socket, chunk);
  }
}

function flood(task: FlooderTask, token: string, chunk: Buffer): void {
  const { host, port, localAddress } = task;
  const socket = connect({ host, port, localAddress, noDelay: true });
  report.connects++;
  let isOpen = false;
  let head = '';
  socket.on('connect', () => socket.write(upgradeText(task, token)));
  socket.on('data', (data) => {
    if (isOpen) return;
    head += data.toString('latin1');
    if (!head.includes('\r\n\r\n')) return;
    isOpen = head.startsWith('HTTP/1.1 101');
    if (!isOpen) {
      socket.destroy();
      return;
    }
    report.upgrades++;
    // It does not read what it is sent.
    socket.pause();
    misbehave(task, socket, chunk);
  });
  socket.on('error', () => {});
  socket.on('end', () => socket.destroy());
  socket.on('close', () => setTimeout(() => flood(task, token, chunk), isOpen ? 0 : PAUSE_AFTER_REFUSAL_MS));
}

/** Silent sockets, reopened as they are closed. */
function holdIdle({ host, port, localAddress }: FlooderTask): void {
  const open = () => {
    const socket = connect({ host, port, localAddress });
    report.connects++;
    socket.on('error', () => {});
    socket.on('end', () => socket.destroy());
    socket.on('close', () => setTimeout(open, IDLE_RETRY_MS));
    socket.resume();
  };
  let left = IDLE_SOCKETS;
  const timer = setInterval(() => {
    for (let i = 0; i < IDLE_SOCKETS_A_ROUND && left > 0; i++, left--) open();
    if (left === 0) clearInterval(timer);
  }, IDLE_ROUND_MS);
}

process.once('message', (message) => {
  const task = message as FlooderTask;
  if (task.kind === 'idle sockets') holdIdle(task);
  else {
    const chunk = chunkOf(task.kind);
    for (const token of task.tokens) flood(task, token, chunk);
  }
});
process.on('message', (message) => {
  if (message === 'report') process.send?.(report);
});
process.on('disconnect', () => process.exit(0));

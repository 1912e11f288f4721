// A process that takes positions as ingest does (binary frames only) and answers by id as query-api does, on a
// DirectStore. Its only client is the bench, so it trusts every token.

import { App, us_socket_local_port, type WebSocket } from 'uWebSockets.js';
import { decodeClientMessage, encodeAck, encodeServerMessage } from '@whereabouts/client/frame';
import { nackMessage, SUBPROTOCOL_BIN } from '@whereabouts/client/protocol';
import { validatePosition } from '@whereabouts/infra/position';
import { type DirectMode, DirectStore } from './direct-store.js';

export interface DirectTask {
  mode: DirectMode;
  databaseUrl: string;
  redisPort: number;
}

/** uWebSockets.js copies these properties, so everything that changes is in one object. */
interface Seat {
  driver: { id: string; session: number; isOpen: boolean };
}

const RETRY_AFTER_MS = 1000;

function subjectOf(authorization: string): string {
  const payload = authorization.split('.')[1] ?? '';
  return String((JSON.parse(Buffer.from(payload, 'base64url').toString()) as { sub: unknown }).sub);
}

async function received(store: DirectStore, ws: WebSocket<Seat>, bytes: ArrayBuffer): Promise<void> {
  const message = decodeClientMessage(bytes);
  if (message.type !== 'position') return;
  const { driver } = ws.getUserData();
  const position = validatePosition(
    {
      seq: message.seq,
      recordedAtMs: message.recorded_at_ms,
      lat: message.lat,
      lon: message.lon,
      headingDeg: message.heading_deg,
      speedMps: message.speed_mps,
      accuracyM: message.accuracy_m,
      status: message.status,
      services: message.services,
    },
    driver.id,
    driver.session,
  );
  try {
    await store.write(position);
    if (driver.isOpen) ws.send(encodeAck(message.seq), true);
  } catch (error) {
    const detail = (error as Error).message;
    const nack = nackMessage('overloaded', message.seq, detail, RETRY_AFTER_MS);
    if (driver.isOpen) ws.send(encodeServerMessage(nack), true);
  }
}

async function serve(task: DirectTask): Promise<void> {
  const store = await DirectStore.open(task.mode, task.databaseUrl, task.redisPort);
  const app = App();
  app.ws<Seat>('/v1/stream', {
    maxPayloadLength: 16 * 1024,
    idleTimeout: 60,
    upgrade: (res, req, context) => {
      const id = subjectOf(req.getHeader('authorization'));
      const seat: Seat = { driver: { id, session: Date.now(), isOpen: true } };
      const key = req.getHeader('sec-websocket-key');
      res.upgrade(seat, key, SUBPROTOCOL_BIN, req.getHeader('sec-websocket-extensions'), context);
    },
    message: (ws, message) => void received(store, ws, message),
    close: (ws) => {
      ws.getUserData().driver.isOpen = false;
    },
  });
  app.get('/v1/drivers/:id', (res, req) => {
    let isAborted = false;
    res.onAborted(() => {
      isAborted = true;
    });
    const id = req.getParameter(0) ?? '';
    const answer = (status: string, body: string) => {
      if (isAborted) return;
      res.cork(() => {
        res.writeStatus(status).writeHeader('content-type', 'application/json').end(body);
      });
    };
    store.read(id).then(
      (found) => answer(found === null ? '404 Not Found' : '200 OK', found ?? '{}'),
      () => answer('503 Service Unavailable', '{}'),
    );
  });
  app.listen('127.0.0.1', 0, (socket) => {
    if (!socket) throw new Error('cannot listen');
    // The types only know sockets of connections; the function works on a listening one just as well.
    process.send?.({ port: us_socket_local_port(socket as never) });
  });
  process.on('message', (message) => {
    if (message === 'report') process.send?.(store.counts);
  });
}

process.once('message', (task) => void serve(task as DirectTask));
process.on('disconnect', () => process.exit(0));

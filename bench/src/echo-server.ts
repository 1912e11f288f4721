// The floor: a bare uWebSockets.js server that sends every message back. Reports its port to its parent.

import { App, us_socket_local_port } from 'uWebSockets.js';

App()
  .ws('/*', {
    maxPayloadLength: 16 * 1024,
    idleTimeout: 16,
    message: (ws, message, isBinary) => {
      ws.send(message, isBinary);
    },
  })
  .listen('127.0.0.1', 0, (socket) => {
    if (!socket) throw new Error('cannot listen');
    // The types only know sockets of connections; the function works on a listening one just as well.
    process.send?.({ port: us_socket_local_port(socket as never) });
  });
process.on('disconnect', () => process.exit(0));

// The package's main export, for apps. The other modules are for servers, tests and clients of your own.
export type { Format, WebSocketConstructor } from './connection.js';
export { DriverClient } from './driver-client.js';
export type {
  CheckpointOptions,
  ClientState,
  CloseEvent,
  DriverClientEvents,
  DriverClientOptions,
  RefusedEvent,
} from './driver-client-options.js';
export type { DriverPosition } from './driver-position.js';
export { CheckpointError, type OutboxStats } from './outbox.js';
export type {
  AckMessage,
  AckMode,
  AnyNackCode,
  Durability,
  HelloLimits,
  HelloMessage,
  NackCode,
  NackMessage,
  PaceMessage,
  PersistedMessage,
  Status,
} from './protocol.js';
export { CLOSE_CODES } from './protocol.js';
export type { BackoffBounds } from './reconnect.js';

// One JSON object a line on stdout. Written synchronously, so that the line that explains an exit is not lost.

import { type DestinationStream, type Logger, pino } from 'pino';

export type { DestinationStream, Logger } from 'pino';

export const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

// A safety net: none of these is logged on purpose. An ioredis error carries its command's arguments, which may be a
// password (AUTH) or positions of drivers.
const SECRETS = ['authorization', 'password', 'secret', 'token'];
const REDACTED = [
  ...SECRETS,
  ...SECRETS.map((name) => `*.${name}`),
  'headers["sec-websocket-protocol"]',
  'err.command.args',
];

export function createLogger(service: string, level: LogLevel, destination?: DestinationStream): Logger {
  const options = {
    level,
    base: { service, pid: process.pid },
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
    redact: { paths: REDACTED, censor: '[redacted]' },
  };
  return destination ? pino(options, destination) : pino(options);
}

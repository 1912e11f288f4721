import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createLogger, type LogLevel } from './log.js';

function logged(level: LogLevel, write: (log: ReturnType<typeof createLogger>) => void) {
  const lines: string[] = [];
  write(createLogger('tiny', level, { write: (line) => void lines.push(line) }));
  return lines.map((line) => JSON.parse(line));
}

test('a line is JSON with service, level and an ISO time', () => {
  const [line] = logged('info', (log) => log.info({ port: 1 }, 'hello'));
  assert.equal(line.service, 'tiny');
  assert.equal(line.level, 'info');
  assert.equal(line.msg, 'hello');
  assert.equal(line.port, 1);
  assert.equal(new Date(line.time).toISOString(), line.time);
});

test('the level holds', () => {
  const lines = logged('warn', (log) => {
    log.info('a');
    log.warn('b');
  });
  assert.deepEqual(
    lines.map((line) => line.msg),
    ['b'],
  );
  assert.equal(logged('silent', (log) => log.fatal('a')).length, 0);
});

test('secrets that slip in are struck out', () => {
  const command = { name: 'auth', args: ['ingest', 'hush'] };
  const err = Object.assign(new Error('WRONGPASS'), { command });
  const headers = { authorization: 'hush', 'sec-websocket-protocol': 'bearer.hush' };
  const lines = logged('info', (log) =>
    log.info({ err, headers, token: 'hush', settings: { password: 'hush' } }),
  );
  assert.doesNotMatch(JSON.stringify(lines), /hush/);
  assert.match(JSON.stringify(lines), /WRONGPASS/);
});

test('an error keeps its code and its cause', () => {
  const err = Object.assign(new Error('outer', { cause: new Error('inner') }), { code: 'overloaded' });
  const [line] = logged('info', (log) => log.error({ err }, 'failed'));
  assert.equal(line.err.code, 'overloaded');
  assert.match(line.err.stack, /outer[\s\S]*inner/);
});

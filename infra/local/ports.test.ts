import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import { test } from 'node:test';
import { freePorts, freeRedisPorts, isPortFree, isRedisPortFree, nextFreePort } from './ports.js';

function listen(port: number): Promise<{ close(): Promise<void> }> {
  const server = createServer();
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', () =>
      resolve({ close: () => new Promise((closed) => server.close(() => closed())) }),
    );
  });
}

test('free ports are distinct and can be used', async () => {
  const ports = await freePorts(5);
  assert.equal(new Set(ports).size, 5);
  for (const port of ports) assert.equal(await isPortFree(port), true);
});

test('a port that somebody listens on is not free, and the next one is taken instead', async () => {
  const [port = 0] = await freePorts(1);
  const server = await listen(port);
  try {
    assert.equal(await isPortFree(port), false);
    assert.ok((await nextFreePort(port)) > port);
  } finally {
    await server.close();
  }
  assert.equal(await nextFreePort(port), port);
});

test('a port promised to somebody else is passed over', async () => {
  const [port = 0] = await freePorts(1);
  assert.ok((await nextFreePort(port, new Set([port]))) > port);
});

test('a Redis port counts as taken where its bus port is', async () => {
  const [port = 0] = await freeRedisPorts(1);
  const server = await listen(port + 10_000);
  try {
    assert.equal(await isRedisPortFree(port), false);
  } finally {
    await server.close();
  }
  assert.equal(await isRedisPortFree(port), true);
});

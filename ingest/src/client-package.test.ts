// The client as an app gets it: packed, installed into an empty folder without a network, imported by Node, compiled by
// tsc, loaded by a real browser; each connects to a real ingest.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { extname, join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { launchChromium, skipWithoutBrowser } from '@whereabouts/infra/local/testing/browser';
import type { Browser } from 'playwright-core';
import { tokenFor } from './testing/edge-under-test.js';
import { type Ground, IngestProcess, startGround } from './testing/ingest-process.js';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const DEADLINE_MS = 120_000;
const withoutBrowser = skipWithoutBrowser('THE CLIENT IN A BROWSER IS');

const run = promisify(execFile);
let ground: Ground;
let ingest: IngestProcess;
let app: string;

before(async () => {
  app = await mkdtemp(join(tmpdir(), 'whereabouts-app-'));
  await writeFile(join(app, 'package.json'), '{"name":"app","private":true,"type":"module"}');
  const tarballs = [await packed('ingest/client'), await packed('node_modules/ws')];
  await npm(app, 'install', '--offline', '--no-audit', '--no-fund', ...tarballs);
  ground = await startGround();
  ingest = await IngestProcess.start(ground);
});
after(async () => {
  ingest?.kill();
  await ground?.stop();
  await rm(app, { recursive: true, force: true });
});

const npm = (cwd: string, ...args: string[]) => run('npm', args, { cwd, timeout: DEADLINE_MS });

async function packed(folder: string): Promise<string> {
  const pack = ['pack', '--ignore-scripts', '--json', '--pack-destination', app];
  const { stdout } = await npm(join(ROOT, folder), ...pack);
  const [{ filename }] = Object.values(JSON.parse(stdout)) as [{ filename: string }];
  return join(app, filename);
}

test('the package has what it says and no tests, and needs ws alone', async () => {
  const folder = join(app, 'node_modules/@whereabouts/client');
  const manifest = JSON.parse(await readFile(join(folder, 'package.json'), 'utf8'));
  assert.deepEqual([manifest.private, manifest.license, manifest.type], [undefined, 'MIT', 'module']);
  const files = await readdir(folder, { recursive: true });
  for (const file of ['README.md', 'LICENSE', 'examples/geolocation.html', 'python/whereabouts_client.py'])
    assert.ok(files.includes(file), file);
  assert.deepEqual(
    files.filter((file) => /\.test\.|\/test-|tsbuildinfo/.test(file)),
    [],
  );
  const targets = Object.values<string | Record<string, string>>(manifest.exports).flatMap((one) =>
    typeof one === 'string' ? one : Object.values(one),
  );
  for (const target of targets) assert.ok(existsSync(join(folder, target)), target);
  const installed = (await readdir(join(app, 'node_modules'))).filter((name) => !name.startsWith('.'));
  assert.deepEqual(installed, ['@whereabouts', 'ws']);
  assert.equal(
    await readFile(join(folder, 'LICENSE'), 'utf8'),
    await readFile(join(ROOT, 'LICENSE'), 'utf8'),
  );
});

const PROGRAM = `
import { CheckpointError, DriverClient } from '@whereabouts/client';
import type { AckMessage, DriverPosition } from '@whereabouts/client';

const client = new DriverClient({ url: process.argv[2] ?? '', token: process.argv[3] ?? '', ack: 'each' });
const place: DriverPosition = { lat: 52.52, lon: 13.405, status: 'available' };
client.on('ack', async ({ seq }: AckMessage) => {
  console.log('acknowledged', seq);
  await client.close();
});
client.checkpoint(place, 'never', { deadlineMs: 1 }).catch((error: CheckpointError) => console.log(error.code));
client.report(place);
// @ts-expect-error: a position has a longitude
const nowhere: DriverPosition = { lat: 1 };
`;

test('a program is compiled by tsc, without the types of anything else, and run by Node', async () => {
  await writeFile(join(app, 'program.ts'), `declare const process: { argv: string[] };${PROGRAM}`);
  const compiler = join(ROOT, 'node_modules/.bin/tsc');
  const strict = ['--strict', '--exactOptionalPropertyTypes', '--skipLibCheck', 'false'];
  const target = ['--target', 'es2022', '--module', 'nodenext', '--types', ''];
  const compiled = await run(compiler, [...strict, ...target, 'program.ts'], { cwd: app }).catch(
    (error) => error,
  );
  assert.equal(compiled.stdout, '');
  const args = ['program.js', ingest.url, await tokenFor('in-node')];
  const { stdout } = await run(process.execPath, args, { cwd: app, timeout: DEADLINE_MS });
  assert.match(stdout, /^deadline$/m);
  assert.match(stdout, /^acknowledged \d+$/m);
});

const PAGE = `<!doctype html><title>app</title><link rel="icon" href="data:,">
<script type="importmap">{"imports":{"@whereabouts/client":"/node_modules/@whereabouts/client/dist/client.js"}}</script>
<script type="module">
  import { DriverClient } from '@whereabouts/client';
  globalThis.drive = (url, token, format) => new Promise((resolve, reject) => {
    const client = new DriverClient({ url, token, format, ack: 'each' });
    client.on('ack', async ({ seq }) => { await client.close(); resolve(seq); });
    client.on('refused', ({ code }) => reject(new Error('refused ' + code)));
    client.report({ lat: 52.52, lon: 13.405, status: 'busy' });
  });
</script>`;
const TYPES: Record<string, string> = { '.js': 'text/javascript', '.html': 'text/html' };

test('a browser loads its modules as they are, and connects', { skip: withoutBrowser }, async () => {
  await writeFile(join(app, 'index.html'), PAGE);
  const asked: string[] = [];
  const server = createServer(async ({ url = '' }, response) => {
    asked.push(url);
    const content = await readFile(join(app, url)).catch(() => null);
    response.writeHead(content ? 200 : 404, { 'content-type': TYPES[extname(url)] ?? 'text/plain' });
    response.end(content);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  let browser: Browser | undefined;
  try {
    browser = await launchChromium();
    const page = await browser.newPage();
    const complaints: string[] = [];
    page.on('pageerror', (error) => complaints.push(String(error)));
    page.on('console', (message) => message.type() === 'error' && complaints.push(message.text()));
    await page.goto(`http://127.0.0.1:${(server.address() as AddressInfo).port}/index.html`);
    await page.waitForFunction('globalThis.drive');
    for (const format of ['json', 'bin']) {
      const token = await tokenFor(`in-browser-${format}`);
      const drive = `drive(${JSON.stringify(ingest.url)}, ${JSON.stringify(token)}, '${format}')`;
      assert.equal(await page.evaluate(drive), 1);
    }
    assert.deepEqual(complaints, []);
    // Of Node's parts none is fetched.
    assert.deepEqual(
      asked.filter((url) => url.includes('/ws/')),
      [],
    );
  } finally {
    await browser?.close();
    server.close();
  }
});

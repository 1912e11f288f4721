import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { lastOf, parseCopy, parseDockerfile, parseEnv, parseExec } from './dockerfile.js';
import { ImageFolders } from './image-folder.js';

const TEXT = `# a comment
ARG VERSION=22

FROM node:\${VERSION}-slim AS build
WORKDIR /app
COPY . .
RUN mkdir made && \\
    # in the middle of a command
    cat src/a.txt > made/b.txt

FROM node:\${VERSION}-slim AS runtime
WORKDIR /app
ENV MODE=production
USER 1000:1000

FROM runtime AS service
COPY --from=build /app/made made
COPY --from=build /app/package.json ./
CMD ["node", "made/b.txt"]
`;

test('stages, what they stand on, and the last word on each thing', () => {
  const stages = parseDockerfile(TEXT);
  assert.deepEqual(
    stages.map(({ name, from }) => [name, from]),
    [
      ['build', 'node:22-slim'],
      ['runtime', 'node:22-slim'],
      ['service', 'runtime'],
    ],
  );
  assert.equal(lastOf(stages, 'service', 'USER'), '1000:1000');
  assert.equal(lastOf(stages, 'build', 'USER'), undefined);
  assert.deepEqual(parseExec(lastOf(stages, 'service', 'CMD') as string), ['node', 'made/b.txt']);
});

test('what is not understood is an error', () => {
  assert.throws(() => parseDockerfile('FROM node AS a\nADD x y\n'), /line 2: ADD/);
  assert.throws(() => parseDockerfile('FROM node\n'), /FROM image AS name/);
  assert.throws(() => parseDockerfile(`FROM node:\${NOBODY} AS a\n`), /what NOBODY is/);
  assert.throws(() => parseCopy('--chown=1 a b'), /not understood/);
  assert.throws(() => parseCopy('a'), /not understood/);
  assert.throws(() => parseEnv('A b'), /NAME=value/);
});

test('stages as folders: what is copied, and what is left out', (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'whereabouts-stages-'));
  t.after(() => rmSync(dir, { recursive: true }));
  const context = join(dir, 'context');
  const files = [
    'src/a.txt',
    'package.json',
    'secret/key',
    'deep/down/node_modules/x.js',
    'a.log',
    'src/b.log',
    'note.md',
    'src/c.md',
  ];
  for (const file of files) {
    mkdirSync(dirname(join(context, file)), { recursive: true });
    writeFileSync(join(context, file), file);
  }
  writeFileSync(join(context, '.dockerignore'), '# not these\nsecret\n**/node_modules\n**/*.log\n*.md\n');
  const images = new ImageFolders(parseDockerfile(TEXT), context, join(dir, 'images'), () => {});
  const { folder, workdir, env } = images.build('service');
  assert.deepEqual([workdir, env], ['/app', { MODE: 'production' }]);
  assert.equal(readFileSync(join(folder, 'app/made/b.txt'), 'utf8'), 'src/a.txt');
  assert.ok(existsSync(join(folder, 'app/package.json')));
  assert.ok(!existsSync(join(folder, 'app/src')));
  const built = join(images.build('build').folder, 'app');
  const there = files.filter((file) => existsSync(join(built, file)));
  assert.deepEqual(there, ['src/a.txt', 'package.json', 'src/c.md']);
});

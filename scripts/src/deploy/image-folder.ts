// Carries out a Dockerfile without Docker: each stage becomes a folder, `/app` a folder in it. COPY copies what it
// names, from the clone minus .dockerignore, or from another stage; RUN runs in the folder, with this machine's Node.
// Not covered: the base image itself, and what its user may read and write.

import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readFileSync, statSync } from 'node:fs';
import { homedir } from 'node:os';
import { join, relative } from 'node:path';
import { chainOf, parseArg, parseCopy, parseEnv, type Stage, substituted } from './dockerfile.js';

export interface Image {
  /** `/` of the image. */
  folder: string;
  workdir: string;
  env: Record<string, string>;
}

const RUN_TIMEOUT_MS = 600_000;

export class ImageFolders {
  readonly #stages: readonly Stage[];
  readonly #context: string;
  readonly #dir: string;
  readonly #say: (text: string) => void;
  readonly #ignored: RegExp[];
  readonly #built = new Map<string, Image>();

  constructor(stages: readonly Stage[], context: string, dir: string, say: (text: string) => void) {
    this.#stages = stages;
    this.#context = context;
    this.#dir = dir;
    this.#say = say;
    this.#ignored = readFileSync(join(context, '.dockerignore'), 'utf8')
      .split('\n')
      .filter((line) => line !== '' && !line.startsWith('#'))
      .map(ignorePattern);
  }

  build(name: string): Image {
    const known = this.#built.get(name);
    if (known) return known;
    const stage = chainOf(this.#stages, name).at(-1);
    if (stage === undefined) throw new Error(`there is no stage ${name}`);
    const isOnStage = this.#stages.some((other) => other.name === stage.from);
    const parent = isOnStage ? this.build(stage.from) : null;
    this.#say(`stage ${name}`);
    const folder = join(this.#dir, name);
    mkdirSync(folder, { recursive: true });
    if (parent) cpSync(parent.folder, folder, { recursive: true, verbatimSymlinks: true });
    const image: Image = { folder, workdir: parent?.workdir ?? '/', env: { ...parent?.env } };
    const values: Record<string, string> = {};
    for (const { keyword, text } of stage.instructions) this.#carryOut(image, keyword, text, values);
    this.#built.set(name, image);
    return image;
  }

  #carryOut(image: Image, keyword: string, text: string, values: Record<string, string>): void {
    const path = (inside: string) =>
      join(image.folder, inside.startsWith('/') ? inside : join(image.workdir, inside));
    if (keyword === 'ARG') {
      const [name, fallback] = parseArg(text);
      if (fallback !== null) values[name] = fallback;
    } else if (keyword === 'ENV') Object.assign(image.env, parseEnv(substituted(text, values)));
    else if (keyword === 'WORKDIR') {
      image.workdir = text;
      mkdirSync(path(text), { recursive: true });
    } else if (keyword === 'COPY') this.#copy(text, path);
    else if (keyword === 'RUN') {
      this.#say(`  RUN ${text.replace(/\s+/g, ' ').slice(0, 100)}`);
      execFileSync('/bin/sh', ['-ec', text], {
        cwd: path('.'),
        env: { PATH: process.env.PATH, HOME: homedir(), ...image.env },
        stdio: ['ignore', 'ignore', 'inherit'],
        timeout: RUN_TIMEOUT_MS,
      });
    }
  }

  #copy(text: string, path: (inside: string) => string): void {
    const { from, sources, target } = parseCopy(text);
    for (const source of sources) {
      const root = from === null ? this.#context : this.build(from).folder;
      const origin = join(root, source);
      if (!existsSync(origin)) throw new Error(`COPY ${text}: there is no ${source}`);
      // A folder gives its content; a file goes into a target that is a folder.
      const isFile = statSync(origin).isFile();
      const goal =
        isFile && target.endsWith('/')
          ? join(path(target), source.split('/').at(-1) as string)
          : path(target);
      const filter = (file: string) => from !== null || !this.#isIgnored(relative(root, file));
      cpSync(origin, goal, { recursive: true, verbatimSymlinks: true, filter });
    }
  }

  #isIgnored(file: string): boolean {
    return this.#ignored.some((pattern) => pattern.test(file));
  }
}

/** `*` stands for part of a name, `**` for any number of folders. */
function ignorePattern(line: string): RegExp {
  const text = line
    .replace(/[.+^$()|[\]{}]/g, '\\$&')
    .replace(/\*\*\/|\*/g, (stars) => (stars === '*' ? '[^/]*' : '(.*/)?'));
  return new RegExp(`^${text}$`);
}

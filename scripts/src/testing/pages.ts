// The pages for people, and the commands in them. A test runs each fenced block of `sh`, unless a comment on the line
// before the block says why not:
//
//   <!-- not run: needs Docker -->
//   <!-- stack -->                    the test starts its stack with this block
//
//  All blocks of a page run in one shell, from top to bottom, as a reader types them.
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { root } from '../home.js';

export interface Page {
  /** Relative to the root. */
  path: string;
  text: string;
}

export interface Block {
  page: string;
  line: number;
  code: string;
  /** Why it is not run. */
  notRun?: string;
  startsStack: boolean;
}

const FENCE = /^(?:<!-- (?<marker>[^\n]+) -->\n)?```(?<language>[^\n]*)\n(?<code>.*?)\n```$/gms;

export function pages(): Page[] {
  const markdown = (folder: string, recursive: boolean) =>
    readdirSync(join(root, folder), { recursive, encoding: 'utf8' })
      .filter((name) => name.endsWith('.md'))
      .map((name) => join(folder, name));
  const paths = [...markdown('', false), ...markdown('docs', true)].sort();
  return paths.map((path) => ({ path, text: readFileSync(join(root, path), 'utf8') }));
}

export function* fences({ path, text }: Page): Generator<Block & { language: string }> {
  for (const match of text.matchAll(FENCE)) {
    const { marker = '', language = '', code = '' } = match.groups as Record<string, string | undefined>;
    const line = text.slice(0, match.index).split('\n').length;
    const notRun = /^not run: (.+)$/.exec(marker)?.[1];
    yield {
      ...{ page: path, line, language, code, startsStack: marker === 'stack' },
      ...(notRun === undefined ? {} : { notRun }),
    };
  }
}

export const commandsOf = (page: Page): Block[] =>
  [...fences(page)].filter(({ language }) => language === 'sh');

/** `npm run NAME -- --option`, in blocks and inline. */
export function* npmCommands(text: string): Generator<{ name: string; options: string[] }> {
  for (const [, script, rest = ''] of text.matchAll(
    /npm (?:run (?:-s )?([a-z]+)|start)\b((?: (?!npm)[^\s`|)]+)*)/g,
  )) {
    const options = [...rest.matchAll(/ (--[a-z][a-z-]+)/g)].map(([, option]) => option as string);
    yield { name: script ?? 'start', options };
  }
}

/** The target of a link on a page, relative to the root, with its anchor. Other sites are left out. */
export function* linksOf({ path, text }: Page): Generator<{ to: string; anchor?: string }> {
  for (const [, target = ''] of text.matchAll(/(?:\]\(|src=")([^)\s"]+)[)"]/g)) {
    if (/^[a-z]+:/.test(target)) continue;
    const [file = '', anchor] = target.split('#');
    const to = file === '' ? path : join(dirname(path), file);
    yield anchor === undefined ? { to } : { to, anchor };
  }
}

/** The anchors that a renderer makes of a page's headings. */
export function anchorsOf(text: string): Set<string> {
  const headings = text.replaceAll(FENCE, '').matchAll(/^#+ (.+)$/gm);
  const slug = (heading: string) =>
    heading
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N}\s_-]/gu, '')
      .trim()
      .replaceAll(' ', '-');
  const explicit = text.matchAll(/^<a id="([\w-]+)"><\/a>$/gm);
  return new Set([
    ...[...headings].map(([, heading]) => slug(heading as string)),
    ...[...explicit].map(([, id]) => id as string),
  ]);
}

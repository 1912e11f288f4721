// What the stack reports about itself while it runs: which node went down or came back, and what is dark.
import { formatAddress } from '@whereabouts/infra/node-address';
import { Places } from '../places/places.js';
import type { Stack, StackNode } from '../stack-file.js';
import { type Dark, DarkWatch, darkText, partitionsNow } from './dark.js';
import { NodeWatch } from './node-watch.js';

export const startCommand = ({ port }: { port: number }): string => `npm run node -- start ${port}`;

/** Null: up, and was up. */
function newsOf(before: StackNode, now: StackNode): { text: string; event: string } | null {
  if (before.state === now.state) return null;
  const name = `Redis ${formatAddress(now)}`;
  if (now.state === 'up') return { text: `${name} is up again, as a ${now.role}.`, event: 'node_up' };
  if (now.state === 'silent') return { text: `${name} does not answer.`, event: 'node_silent' };
  return { text: `${name} is down. Bring it back with: ${startCommand(now)}`, event: 'node_down' };
}

export interface HealthHooks {
  /** Its nodes are as the last look found them. */
  stack: Stack;
  say(text: string, event: string, details: object): void;
}

export class HealthWatch {
  readonly #hooks: HealthHooks;
  readonly #nodeWatch: NodeWatch;
  readonly #darkWatch = new DarkWatch();
  readonly #places = new Places();
  /** With its text. */
  #dark: (Dark & { text: string }) | null = null;
  #isAnswered = true;
  #isLooking = false;

  constructor(hooks: HealthHooks) {
    this.#hooks = hooks;
    this.#nodeWatch = new NodeWatch(hooks.stack);
    void this.#places.load().catch(() => {}); // then they are shown as geohashes
  }

  /** One look at a time: a frozen node makes it take longer than the interval between calls. */
  look(): void {
    if (this.#isLooking) return;
    this.#isLooking = true;
    void this.#lookOnce().finally(() => {
      this.#isLooking = false;
    });
  }

  /** For the live line: what is dark first, then what is down; empty while all is well. */
  troubles(): string[] {
    const troubles = this.#dark === null ? [] : [this.#dark.text];
    if (!this.#isAnswered) troubles.push('query-api does not answer');
    for (const node of this.#hooks.stack.redis) {
      if (node.state === 'down') troubles.push(`${formatAddress(node)} is down: ${startCommand(node)}`);
      if (node.state === 'silent') troubles.push(`${formatAddress(node)} does not answer`);
    }
    return troubles;
  }

  async #lookOnce(): Promise<void> {
    const { stack } = this.#hooks;
    const before = stack.redis;
    const [nodes, rows] = await Promise.all([this.#nodeWatch.look(before), partitionsNow(stack)]);
    this.#isAnswered = rows !== null;
    if (rows !== null) this.#tellDark(this.#darkWatch.look(rows));
    for (const [i, node] of nodes.entries()) {
      const news = newsOf(before[i] as StackNode, node);
      if (news !== null) this.#hooks.say(news.text, news.event, { node: formatAddress(node) });
    }
    stack.redis = nodes;
  }

  #tellDark(now: Dark | null): void {
    const before = this.#dark;
    this.#dark = now && { ...now, text: darkText(now, this.#places) };
    if (before === null && this.#dark !== null) {
      const { text, rows } = this.#dark;
      const partitions = rows.map(({ partition }) => partition);
      this.#hooks.say(`${text.charAt(0).toUpperCase()}${text.slice(1)}.`, 'dark', { partitions });
    } else if (before !== null && now === null) {
      const lasted = Math.round((Date.now() - before.sinceMs) / 1000);
      this.#hooks.say(`Nothing is dark any more, after ${lasted} s.`, 'dark_over', {});
    }
  }
}

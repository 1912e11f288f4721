// What the stack says of itself while it runs: which node went down or came back, and what is dark.
import { formatAddress } from '@whereabouts/infra/node-address';
import type { Stack, StackNode } from '../stack-file.js';
import { type Dark, darkText, lookForDark } from './dark.js';
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
  /** Its nodes are as the last look has found them. */
  stack: Stack;
  say(text: string, event: string, details: object): void;
}

export class HealthWatch {
  readonly #hooks: HealthHooks;
  readonly #nodeWatch: NodeWatch;
  #dark: Dark | null = null;
  #isLooking = false;

  constructor(hooks: HealthHooks) {
    this.#hooks = hooks;
    this.#nodeWatch = new NodeWatch(hooks.stack);
  }

  /** One look at a time: a frozen node makes it take longer than the pace at which we are called. */
  look(): void {
    if (this.#isLooking) return;
    this.#isLooking = true;
    void this.#lookOnce().finally(() => {
      this.#isLooking = false;
    });
  }

  /** For the live line: what is dark first, then what is down; empty while all is well. */
  troubles(): string[] {
    const dark = this.#dark !== null && this.#dark.dark > 0 ? [darkText(this.#dark)] : [];
    const down = this.#hooks.stack.redis.filter(({ state }) => state === 'down');
    const commands = down.map((node) => `${formatAddress(node)} is down: ${startCommand(node)}`);
    return [...dark, ...commands];
  }

  async #lookOnce(): Promise<void> {
    const { stack } = this.#hooks;
    const before = stack.redis;
    const [nodes, dark] = await Promise.all([this.#nodeWatch.look(before), lookForDark(stack)]);
    this.#dark = dark;
    for (const [i, node] of nodes.entries()) {
      const news = newsOf(before[i] as StackNode, node);
      if (news !== null) this.#hooks.say(news.text, news.event, { node: formatAddress(node) });
    }
    stack.redis = nodes;
  }
}

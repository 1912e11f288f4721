// Everything about the servers of a stack that runs: how they are, what is told of it, and the wishes of `npm run node`.
import { type Control, openControl } from './control.js';
import { type HealthHooks, HealthWatch } from './health-watch.js';
import { NodeWatch } from './node-watch.js';
import { StackServers, type StackServersOptions } from './stack-servers.js';

export type ServerWatchOptions = Omit<StackServersOptions, 'look'> & Pick<HealthHooks, 'stack' | 'say'>;

export class ServerWatch {
  readonly #servers: StackServers;
  readonly #health: HealthWatch;
  readonly #control: Control;

  private constructor(servers: StackServers, health: HealthWatch, control: Control) {
    this.#servers = servers;
    this.#health = health;
    this.#control = control;
  }

  /** From then on `stack` says how its nodes are. */
  static async open(o: ServerWatchOptions): Promise<ServerWatch> {
    const { stack } = o;
    const nodeWatch = new NodeWatch(stack);
    const servers = new StackServers({ ...o, look: () => nodeWatch.look(stack.redis) });
    const control = await openControl(o.home, servers);
    stack.control = control.path;
    return new ServerWatch(servers, new HealthWatch({ stack, say: o.say }), control);
  }

  look(): void {
    this.#health.look();
  }

  /** What is dark or down; empty while all is well. */
  troubles(): string[] {
    return this.#health.troubles();
  }

  /** Null: it is down, or not ours. */
  postgresPid(): number | null {
    return this.#servers.postgresPid();
  }

  /** Takes no more wishes. */
  close(): void {
    this.#control.close();
  }

  /** Once it is closed: until what was begun is through, so that everything that runs is known. */
  settled(): Promise<void> {
    return this.#servers.settled();
  }
}

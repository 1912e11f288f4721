// Everything about the servers of a running stack: their state, its messages, and the requests of `npm run node`.
import { type Control, openControl } from './control.js';
import { type HealthHooks, HealthWatch } from './health-watch.js';
import { NodeWatch } from './node-watch.js';
import { StackServers, type StackServersOptions } from './stack-servers.js';

const START_ARCHIVE = 'npm run node -- start postgres';

export type ServerWatchOptions = Omit<StackServersOptions, 'look'> & Pick<HealthHooks, 'stack' | 'say'>;

export class ServerWatch {
  readonly #servers: StackServers;
  readonly #health: HealthWatch;
  readonly #control: Control;
  readonly #say: ServerWatchOptions['say'];
  #isArchiveDown = false;

  private constructor(o: ServerWatchOptions, servers: StackServers, control: Control) {
    this.#servers = servers;
    this.#health = new HealthWatch(o);
    this.#control = control;
    this.#say = o.say;
  }

  /** From then on `stack` has the state of its nodes. */
  static async open(o: ServerWatchOptions): Promise<ServerWatch> {
    const { stack } = o;
    const nodeWatch = new NodeWatch(stack);
    const servers = new StackServers({ ...o, look: () => nodeWatch.look(stack.redis) });
    const control = await openControl(o.home, servers);
    stack.control = control.path;
    return new ServerWatch(o, servers, control);
  }

  look(): void {
    this.#health.look();
    const isDown = this.#servers.isArchiveDown();
    if (isDown === this.#isArchiveDown) return;
    this.#isArchiveDown = isDown;
    if (isDown) this.#say(`Postgres is down. Bring it back with: ${START_ARCHIVE}`, 'postgres_down', {});
    else this.#say('Postgres is up again.', 'postgres_up', {});
  }

  /** What is dark or down; empty while all is well. */
  troubles(): string[] {
    const archive = this.#isArchiveDown ? [`Postgres is down: ${START_ARCHIVE}`] : [];
    return [...this.#health.troubles(), ...archive];
  }

  /** Null: it is down, or not ours. */
  postgresPid(): number | null {
    return this.#servers.postgresPid();
  }

  /** Takes no more requests. */
  close(): void {
    this.#control.close();
  }

  /** Once it is closed: waits until what was begun is done, so that every running process is known. */
  settled(): Promise<void> {
    return this.#servers.settled();
  }
}

// Typed events without node:events, which browsers lack.

export class Emitter<Events extends object> {
  #listeners: { [E in keyof Events]?: ((event: Events[E]) => void)[] } = {};

  /** Returns a function that removes the listener. */
  on<E extends keyof Events>(name: E, listener: (event: Events[E]) => void): () => void {
    this.#listeners[name] = [...(this.#listeners[name] ?? []), listener];
    return () => this.off(name, listener);
  }

  once<E extends keyof Events>(name: E, listener: (event: Events[E]) => void): () => void {
    const off = this.on(name, (event) => {
      off();
      listener(event);
    });
    return off;
  }

  off<E extends keyof Events>(name: E, listener: (event: Events[E]) => void): void {
    this.#listeners[name] = (this.#listeners[name] ?? []).filter((known) => known !== listener);
  }

  protected emit<E extends keyof Events>(name: E, event: Events[E]): void {
    for (const listener of this.#listeners[name] ?? []) listener(event);
  }
}

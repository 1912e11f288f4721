// What is wrong with the page itself: it has no token, or hears nothing. And the pulse, which says how old all this is.

import { type Api, ApiError } from './api.js';
import { element, setText } from './dom.js';
import { clock, seconds } from './units.js';

/** After this long without an answer the page no longer looks alive. */
const STALE_AFTER_MS = 5_000;

export class Messages {
  #answeredAtMs = Date.now();

  constructor(api: Api) {
    if (!api.hasToken) this.#askForToken('A token is needed to see the drivers.');
  }

  get needsToken(): boolean {
    return !element('token-form').hidden;
  }

  answered(viewAgeMs: number | null): void {
    this.#answeredAtMs = Date.now();
    this.#say('');
    this.#pulse(viewAgeMs === null ? 'Nothing has been read yet' : `Live, ${seconds(viewAgeMs)} old`, false);
  }

  failed(error: unknown): void {
    if (error instanceof ApiError && error.needsToken) {
      this.#askForToken(
        `${error.status === 403 ? 'This token may not read' : 'Sign in again'}: ${error.message}.`,
      );
    } else if (error instanceof ApiError) this.#say(`${error.message}.`);
    else this.#say('The API does not answer. Trying again.');
    if (Date.now() - this.#answeredAtMs > STALE_AFTER_MS)
      this.#pulse(`No answer since ${clock(this.#answeredAtMs)}`, true);
  }

  tokenGiven(): void {
    element('token-form').hidden = true;
    this.#say('');
  }

  #askForToken(text: string): void {
    element('token-form').hidden = false;
    this.#say(text);
  }

  #say(text: string): void {
    setText(element('message'), text);
    element('message').hidden = text === '';
  }

  #pulse(text: string, isStale: boolean): void {
    setText(element('pulse'), text);
    element('pulse').classList.toggle('stale', isStale);
  }
}

// Trouble of the page itself (no token, no answers), and the pulse, which shows the age of the data.

import { type Api, ApiError, type Coverage } from './api.js';
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

  answered({ complete, view_age_ms }: Coverage): void {
    this.#answeredAtMs = Date.now();
    this.#say('');
    if (complete) this.#pulse(`Live, ${seconds(view_age_ms ?? 0)} old`, false);
    else this.#pulse('Live, but a part cannot be seen', true);
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

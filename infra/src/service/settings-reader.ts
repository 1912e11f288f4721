// Reads the environment once into a frozen object and reports everything that is wrong with it at once.
//
// After a problem the reader continues with a stand-in value, so that one start names all problems; `finish` throws
// before a stand-in can be used. An empty variable counts as absent, since compose files and shells cannot
// easily leave one out. Each read also describes its setting, which docs/settings.md is checked against.

import { readFileSync } from 'node:fs';

export class SettingsError extends Error {
  readonly code = 'bad_settings';

  constructor(readonly problems: readonly string[]) {
    super(`the settings are not usable:\n${problems.map((problem) => `  - ${problem}`).join('\n')}`);
    this.name = 'SettingsError';
  }
}

export interface SettingDescription {
  name: string;
  /** As text; null if there is none. */
  default: string | null;
  required: boolean;
  about: string;
}

/** What may be given: the pattern decides, the hint says it to a person ('an https address'). */
interface Form {
  about: string;
  pattern?: RegExp;
  hint?: string;
}

const WHOLE_NUMBER = /^(0|-?[1-9]\d*)$/;
const BOOLEANS = ['true', 'false'] as const;

export class SettingsReader {
  readonly #env: NodeJS.ProcessEnv;
  readonly #problems: string[] = [];
  readonly #described = new Map<string, SettingDescription>();

  constructor(env: NodeJS.ProcessEnv) {
    this.#env = env;
  }

  /** Required if there is no default. */
  string(name: string, form: Form & { default?: string }): string {
    this.#describe(name, form.about, form.default ?? null, form.default === undefined);
    const value = this.#value(name) ?? form.default;
    if (value === undefined) {
      this.problem(`${name} is not set: give ${form.hint ?? form.about}`);
      return '';
    }
    return this.#matching(name, value, form);
  }

  optionalString(name: string, form: Form): string | undefined {
    this.#describe(name, form.about, null, false);
    const value = this.#value(name);
    return value === undefined ? undefined : this.#matching(name, value, form);
  }

  integer(name: string, range: { default: number; min: number; max: number; about: string }): number {
    this.#describe(name, range.about, String(range.default), false);
    const given = this.#value(name);
    if (given === undefined) return range.default;
    const value = Number(given);
    if (WHOLE_NUMBER.test(given) && value >= range.min && value <= range.max) return value;
    this.refuse(name, given, `a whole number from ${range.min} to ${range.max}`);
    return range.default;
  }

  choice<T extends string>(name: string, choice: { values: readonly T[]; default: T; about: string }): T {
    this.#describe(name, choice.about, choice.default, false);
    const given = this.#value(name);
    if (given === undefined) return choice.default;
    const value = choice.values.find((allowed) => allowed === given);
    if (value === undefined) this.refuse(name, given, `one of ${choice.values.join(', ')}`);
    return value ?? choice.default;
  }

  boolean(name: string, setting: { default: boolean; about: string }): boolean {
    const fallback = setting.default ? 'true' : 'false';
    return this.choice(name, { values: BOOLEANS, default: fallback, about: setting.about }) === 'true';
  }

  /** Separated by commas; the pattern holds for each item. Required if there is no default. */
  list(name: string, form: Form & { default?: readonly string[] }): string[] {
    this.#describe(name, form.about, form.default?.join(',') ?? null, form.default === undefined);
    const given = this.#value(name);
    if (given === undefined) {
      if (form.default === undefined) this.problem(`${name} is not set: give ${form.hint ?? form.about}`);
      return [...(form.default ?? [])];
    }
    const items = given.split(',').map((item) => item.trim());
    if (items.includes('')) this.refuse(name, given, 'a list without empty places');
    return items.filter((item) => item !== '').map((item) => this.#matching(name, item, form));
  }

  /** The value of NAME, or the content of the file that NAME_FILE names. Never part of a problem's text. */
  secret(name: string, setting: { about: string }): string | undefined {
    const fileName = `${name}_FILE`;
    this.#describe(name, setting.about, null, false);
    this.#describe(fileName, `a file that holds ${name}`, null, false);
    const value = this.#value(name);
    const path = this.#value(fileName);
    if (path === undefined) return value;
    if (value !== undefined) {
      this.problem(`${name} and ${fileName} are both set: give one of them`);
      return value;
    }
    // Editors and `echo` end a file with a newline that is no part of the secret.
    const content = this.#read(fileName, path)?.replace(/\r?\n$/, '');
    if (content === '') this.refuse(fileName, path, 'a file with content, as that one is empty');
    // A stand-in, so that it is not reported as not set too.
    return content ?? '';
  }

  /** The path of a file that can be read now. */
  file(name: string, setting: { about: string }): string {
    this.#describe(name, setting.about, null, true);
    const path = this.#value(name);
    if (path === undefined) this.problem(`${name} is not set: give the path of ${setting.about}`);
    else this.#read(name, path);
    return path ?? '';
  }

  /** Like `file`, but optional; the content is null if it could not be read. */
  optionalFile(
    name: string,
    setting: { about: string },
  ): { path: string; content: string | null } | undefined {
    this.#describe(name, setting.about, null, false);
    const path = this.#value(name);
    return path === undefined ? undefined : { path, content: this.#read(name, path) ?? null };
  }

  /** For what a single value cannot show: relations between settings. */
  problem(text: string): void {
    this.#problems.push(text);
  }

  /** What was given is shown, less the credentials of an address. */
  refuse(name: string, given: string, allowed: string): void {
    this.problem(`${name} is "${given.replace(/\/\/[^/]*@/, '//***@')}": give ${allowed}`);
  }

  finish<T extends object>(settings: T): Readonly<T> {
    if (this.#problems.length > 0) throw new SettingsError(this.#problems);
    return deepFreeze(settings);
  }

  /** Every setting that was read, in that order; complete even if the environment was wrong. */
  described(): SettingDescription[] {
    return [...this.#described.values()];
  }

  #value(name: string): string | undefined {
    const value = this.#env[name];
    return value === '' ? undefined : value;
  }

  #matching(name: string, value: string, form: Form): string {
    if (form.pattern && !form.pattern.test(value)) {
      this.refuse(name, value, form.hint ?? `something that matches ${form.pattern}`);
    }
    return value;
  }

  #read(name: string, path: string): string | undefined {
    try {
      return readFileSync(path, 'utf8');
    } catch (error) {
      const reason = (error as NodeJS.ErrnoException).code ?? String(error);
      this.refuse(name, path, `the path of a file that can be read (${reason})`);
      return undefined;
    }
  }

  #describe(name: string, about: string, fallback: string | null, required: boolean): void {
    if (!this.#described.has(name)) this.#described.set(name, { name, default: fallback, required, about });
  }
}

function deepFreeze<T extends object>(value: T): Readonly<T> {
  for (const part of Object.values(value)) {
    if (typeof part === 'object' && part !== null && !Object.isFrozen(part)) deepFreeze(part);
  }
  return Object.freeze(value);
}

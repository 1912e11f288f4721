// HTML and SVG built from text: inserted values are escaped unless they are already markup.

export class Markup {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

export type Filling = string | number | Markup | readonly Markup[];

/** Forbidden in every document: control characters, and halves of a surrogate pair. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for
const UNPRINTABLE = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f\ufffe\uffff\p{Cs}]/gu;

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

export function escapeText(text: string): string {
  return text.replace(UNPRINTABLE, '\ufffd').replace(/[&<>"']/g, (character) => ENTITIES[character] ?? '');
}

/** markup`<td title="${anything}">${anything}</td>` */
export function markup(strings: TemplateStringsArray, ...fillings: Filling[]): Markup {
  const filled = fillings.map((filling, i) => textOf(filling) + (strings[i + 1] ?? ''));
  return new Markup((strings[0] ?? '') + filled.join(''));
}

function textOf(filling: Filling): string {
  if (filling instanceof Markup) return filling.text;
  if (typeof filling === 'string' || typeof filling === 'number') return escapeText(String(filling));
  return filling.map((part) => part.text).join('');
}

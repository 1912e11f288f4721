// Uses the whole terminal while needed, and restores it however we end.
const ENTER = '\u001b[?1049h\u001b[?25l';
const LEAVE = '\u001b[?25h\u001b[?1049l';
const HOME = '\u001b[H';
const END_OF_LINE = '\u001b[K';
const BELOW = '\u001b[J';
/** The default if the number of lines is unknown. */
const USUAL_ROWS = 24;
const CTRL_C = '\u0003';

export interface ScreenHooks {
  /** `q` or Ctrl-C. */
  quit(): void;
  resized(): void;
}

export class Screen {
  #isOpen = true;
  readonly #input: NodeJS.ReadStream;
  readonly #output: NodeJS.WriteStream;

  constructor(
    hooks: ScreenHooks,
    input = process.stdin as NodeJS.ReadStream,
    output = process.stdout as NodeJS.WriteStream,
  ) {
    this.#input = input;
    this.#output = output;
    process.on('exit', () => this.close());
    output.write(ENTER);
    output.on('resize', hooks.resized);
    if (!input.isTTY) return;
    input.setRawMode(true);
    input.on('data', (keys) => {
      const text = String(keys);
      if (text.includes('q') || text.includes(CTRL_C)) hooks.quit();
    });
  }

  /** Lines that do not fit are left out; existing lines are overwritten, so nothing flickers. */
  draw(lines: readonly string[]): void {
    const room = (this.#output.rows || USUAL_ROWS) - 1;
    const drawn = lines.slice(0, room).map((line) => `${line}${END_OF_LINE}\r\n`);
    this.#output.write(`${HOME}${drawn.join('')}${BELOW}`);
  }

  close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    if (this.#input.isTTY) {
      this.#input.setRawMode(false);
      this.#input.pause();
    }
    this.#output.write(LEAVE);
  }
}

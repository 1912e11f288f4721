// Replies of Redis (RESP2: https://redis.io/docs/latest/develop/reference/protocol-spec/), cut out of the chunks in which
// they come. ioredis's decoder makes closures for whatever may stand in the next chunk; here a reply that is not whole is
// read again from its start when enough has come, as nearly every reply is whole.

/** An error as Redis sent it; within an array it is one of its values. */
export class ReplyError {
  constructor(readonly message: string) {}
}

/** A bulk or simple string is a view into the chunk it came in: copy it to keep it for long. */
export type ReplyValue = Buffer | number | null | ReplyError | ReplyValue[];

const [CR, PLUS, MINUS, COLON, DOLLAR, STAR] = [13, 43, 45, 58, 36, 42];
const INCOMPLETE = Symbol('incomplete');
/** Arrays in arrays: a reply of ours has three. */
const MAX_DEPTH = 8;
const EMPTY = Buffer.alloc(0);

export class ReplyDecoder {
  readonly #onReply: (reply: ReplyValue) => void;
  /** What has come of the reply at its head. */
  #chunks: Buffer[] = [];
  #waiting = 0;
  /** It cannot be whole before so many bytes are there. */
  #needed = 0;
  #bytes: Buffer = EMPTY;
  #at = 0;

  constructor(onReply: (reply: ReplyValue) => void) {
    this.#onReply = onReply;
  }

  /** Throws if the bytes are not replies; nothing after them can be read then. */
  write(chunk: Buffer): void {
    this.#waiting += chunk.length;
    if (this.#chunks.length > 0 || this.#waiting < this.#needed) {
      this.#chunks.push(chunk);
      if (this.#waiting < this.#needed) return;
    }
    const bytes = this.#chunks.length > 0 ? Buffer.concat(this.#chunks, this.#waiting) : chunk;
    this.#chunks = [];
    this.#waiting = 0;
    this.#needed = 0;
    this.#bytes = bytes;
    this.#at = 0;
    while (this.#at < bytes.length) {
      const start = this.#at;
      const reply = this.#value(0);
      if (reply === INCOMPLETE) {
        this.#chunks.push(bytes.subarray(start));
        this.#waiting = bytes.length - start;
        this.#needed = Math.max(this.#waiting + 1, this.#needed - start);
        break;
      }
      this.#onReply(reply);
    }
    this.#bytes = EMPTY;
  }

  #value(depth: number): ReplyValue | typeof INCOMPLETE {
    const type = this.#bytes[this.#at++];
    switch (type) {
      case DOLLAR:
        return this.#bulk();
      case STAR:
        return this.#array(depth);
      case COLON:
        return this.#number();
      case PLUS:
        return this.#line();
      case MINUS: {
        const line = this.#line();
        return line === INCOMPLETE ? line : new ReplyError(line.toString());
      }
      case undefined:
        return INCOMPLETE;
      default:
        throw new Error(`a reply cannot begin with byte ${type}`);
    }
  }

  #bulk(): Buffer | null | typeof INCOMPLETE {
    const length = this.#number();
    if (length === INCOMPLETE) return INCOMPLETE;
    if (length < 0) return null;
    const from = this.#at;
    const end = from + length;
    this.#at = end + 2;
    if (this.#at > this.#bytes.length) {
      this.#needed = this.#at;
      return INCOMPLETE;
    }
    return this.#bytes.subarray(from, end);
  }

  #array(depth: number): ReplyValue[] | null | typeof INCOMPLETE {
    const length = this.#number();
    if (length === INCOMPLETE) return INCOMPLETE;
    if (length < 0) return null;
    if (depth === MAX_DEPTH) throw new Error('a reply has too many arrays in arrays');
    const values: ReplyValue[] = [];
    for (let i = 0; i < length; i++) {
      const value = this.#value(depth + 1);
      if (value === INCOMPLETE) return INCOMPLETE;
      values.push(value);
    }
    return values;
  }

  #number(): number | typeof INCOMPLETE {
    const bytes = this.#bytes;
    let at = this.#at;
    const isNegative = bytes[at] === MINUS;
    if (isNegative) at++;
    let number = 0;
    for (let byte = bytes[at]; byte !== CR; byte = bytes[++at]) {
      if (byte === undefined) return INCOMPLETE;
      if (byte < 48 || byte > 57) throw new Error(`byte ${byte} in a number of a reply`);
      number = number * 10 + (byte - 48);
    }
    this.#at = at + 2;
    return this.#at > bytes.length ? INCOMPLETE : isNegative ? -number : number;
  }

  #line(): Buffer | typeof INCOMPLETE {
    const end = this.#bytes.indexOf(CR, this.#at);
    if (end < 0 || end + 2 > this.#bytes.length) return INCOMPLETE;
    const line = this.#bytes.subarray(this.#at, end);
    this.#at = end + 2;
    return line;
  }
}

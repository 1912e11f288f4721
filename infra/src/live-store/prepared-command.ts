// A command whose bytes are made in one go. ioredis makes them argument by argument, and looks for key prefixes and
// transformations on the way: for short calls that cost more than everything else of the client together.
import { Command } from 'ioredis';

export type Argument = string | number | Buffer;

/** Arrays of bulk strings, as commands are sent (https://redis.io/docs/latest/develop/reference/protocol-spec/). */
export function encodeCommands(commands: readonly (readonly Argument[])[]): Buffer {
  const parts: (string | Buffer)[] = [];
  let text = '';
  let bytes = 0;
  for (const args of commands) {
    text += `*${args.length}`;
    for (const arg of args) {
      if (typeof arg === 'object') {
        text += `\r\n$${arg.length}\r\n`;
        parts.push(text, arg);
        bytes += text.length + arg.length;
        text = '';
      } else {
        const words = String(arg);
        const wordBytes = Buffer.byteLength(words);
        // The lengths are of bytes; so far `text` counts characters.
        bytes += wordBytes - words.length;
        text += `\r\n$${wordBytes}\r\n${words}`;
      }
    }
    text += '\r\n';
  }
  parts.push(text);
  const encoded = Buffer.allocUnsafe(bytes + text.length);
  let at = 0;
  for (const part of parts) at += typeof part === 'string' ? encoded.write(part, at) : part.copy(encoded, at);
  return encoded;
}

/** Its reply comes as buffers. */
export class PreparedCommand extends Command {
  readonly #bytes: Buffer;

  constructor(args: readonly Argument[]) {
    super(String(args[0]).toLowerCase());
    this.#bytes = encodeCommands([args]);
  }

  override toWritable(): Buffer {
    return this.#bytes;
  }

  /** As it came, in a transaction or not: of HGETALL ioredis would make an object, and its fields texts. */
  override transformReply(reply: Buffer | Buffer[]): Buffer | Buffer[] {
    return reply;
  }
}

// Encodes commands in one go. ioredis encodes them argument by argument, and looks for key prefixes and transformations.
// For short calls that cost more than everything else in the client together.

export type Argument = string | number | Buffer;

/** Encodes each command as an array of bulk strings (https://redis.io/docs/latest/develop/reference/protocol-spec/). */
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

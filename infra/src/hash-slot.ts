// Redis Cluster's hash slots, and for each slot one short tag that leads to it.

export const SLOT_COUNT = 16_384;

// CRC-16/XMODEM: polynomial 0x1021, from 0, not reflected.
const CRC16 = Uint16Array.from({ length: 256 }, (_, byte) => {
  let crc = byte << 8;
  for (let bit = 0; bit < 8; bit++) crc = crc & 0x8000 ? (crc << 1) ^ 0x1021 : crc << 1;
  return crc;
});

/** Only what stands between the first `{` and the next `}` is hashed, unless that is nothing. */
export function keySlot(key: string): number {
  const open = key.indexOf('{');
  const close = open < 0 ? -1 : key.indexOf('}', open + 1);
  const hashed = close > open + 1 ? key.slice(open + 1, close) : key;
  let crc = 0;
  for (const byte of Buffer.from(hashed)) {
    crc = ((crc << 8) ^ (CRC16[((crc >>> 8) ^ byte) & 0xff] as number)) & 0xffff;
  }
  return crc % SLOT_COUNT;
}

let tags: readonly string[] | undefined;

/** The first number in base 36 that hashes to the slot: no slot needs more than 4 characters. */
export function slotTag(slot: number): string {
  tags ??= findTags();
  const tag = tags[slot];
  if (tag === undefined) throw new RangeError(`no slot ${slot}`);
  return tag;
}

// Some tens of milliseconds, so made when the first tag is asked for.
function findTags(): string[] {
  const found = new Array<string>(SLOT_COUNT);
  for (let number = 0, missing = SLOT_COUNT; missing > 0; number++) {
    const tag = number.toString(36);
    const slot = keySlot(tag);
    if (found[slot] !== undefined) continue;
    found[slot] = tag;
    missing--;
  }
  return found;
}

// Picks the type to answer with from the Accept header. RFC 9110, 12.5.1: the most specific range decides.

const MAX_RANGES = 32;

/** Returns the first of `offered` when the caller has no preference, null when the caller accepts none of them. */
export function chooseType(accept: string, offered: readonly string[]): string | null {
  if (accept.trim() === '') return offered[0] ?? null;
  const ranges = accept.split(',').slice(0, MAX_RANGES).map(parseRange);
  let best: { type: string; quality: number } | null = null;
  for (const type of offered) {
    const quality = qualityOf(type, ranges);
    if (quality > (best?.quality ?? 0)) best = { type, quality };
  }
  return best?.type ?? null;
}

interface Range {
  type: string;
  quality: number;
}

function parseRange(text: string): Range {
  const [type = '', ...parameters] = text.split(';').map((part) => part.trim().toLowerCase());
  const weight = parameters.find((parameter) => parameter.startsWith('q='));
  const quality = weight === undefined ? 1 : Number(weight.slice(2));
  return { type, quality: quality >= 0 && quality <= 1 ? quality : 0 };
}

function qualityOf(type: string, ranges: readonly Range[]): number {
  const [kind] = type.split('/');
  for (const wanted of [type, `${kind}/*`, '*/*']) {
    const range = ranges.find((candidate) => candidate.type === wanted);
    if (range) return range.quality;
  }
  return 0;
}

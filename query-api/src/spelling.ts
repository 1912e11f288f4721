// Which known name did a caller mean?

const MAX_EDITS = 2;
const MAX_NAME = 32;

export function nearestName(name: string, known: readonly string[]): string | null {
  const plain = plainName(name);
  if (plain.length === 0 || plain.length > MAX_NAME) return null;
  // `radius` for `radius_m`, `latitude` for `lat`, `maxAge` for `max_age_ms`
  const begins = known.find((other) => {
    const otherPlain = plainName(other);
    return plain.length >= 3 && (otherPlain.startsWith(plain) || plain.startsWith(otherPlain));
  });
  if (begins) return begins;
  const ranked = known
    .map((other) => ({ other, edits: editDistance(plain, plainName(other)) }))
    .filter(({ other, edits }) => edits <= MAX_EDITS && edits < other.length - 1)
    .sort((a, b) => a.edits - b.edits);
  return ranked[0]?.other ?? null;
}

function plainName(name: string): string {
  return name.toLowerCase().replace(/[^a-z0-9]/g, '');
}

function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = (row[j - 1] as number) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(replaced, (row[j] as number) + 1, (next[j - 1] as number) + 1));
    }
    row = next;
  }
  return row[b.length] as number;
}

// A new random order each time, for work that may be cut short: so no item is always behind the same others.

/** Fisher and Yates. */
export function shuffled<T>(values: readonly T[]): T[] {
  const mixed = [...values];
  for (let i = mixed.length - 1; i > 0; i--) {
    const j = Math.floor(Math.random() * (i + 1));
    [mixed[i], mixed[j]] = [mixed[j] as T, mixed[i] as T];
  }
  return mixed;
}

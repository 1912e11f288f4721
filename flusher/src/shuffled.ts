// In another order each time, for what is cut short somewhere: so nobody stands behind the same others for ever.

/** Fisher and Yates. */
export function shuffled<T>(values: readonly T[]): T[] {
  const mixed = [...values];
  for (let i = mixed.length - 1; i > 0; i--) {
    const j = Math.floor(Math.random() * (i + 1));
    [mixed[i], mixed[j]] = [mixed[j] as T, mixed[i] as T];
  }
  return mixed;
}

// A whole column as one parameter. pg's own way of writing an array looks at every element three times and took
// longer than Postgres needs to store the rows.

/** What Postgres reads as an array of any type: {1,NULL,"text"}. */
export function arrayLiteral(values: readonly (string | number | null)[]): string {
  let text = '';
  for (const value of values) {
    text += text === '' ? '{' : ',';
    if (value === null) text += 'NULL';
    else if (typeof value === 'number') text += value;
    else text += quoted(value);
  }
  return text === '' ? '{}' : `${text}}`;
}

// Always in quotes: a driver may be called NULL.
function quoted(value: string): string {
  return /["\\]/.test(value) ? `"${value.replace(/["\\]/g, '\\$&')}"` : `"${value}"`;
}

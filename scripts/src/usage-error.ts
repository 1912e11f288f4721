/** Bad input from the person at the terminal: reported in one line, without a stack. The status is then 2. */
export class UsageError extends Error {
  readonly code = 'usage';
}

/**
 * The result of `work`, or after `deadlineMs` what `onLate` returns or throws (an error by default). Late work continues,
 * and its result is dropped.
 */
export async function withDeadline<T>(
  work: Promise<T>,
  deadlineMs: number,
  onLate: () => T = () => {
    throw new Error(`no answer within ${deadlineMs} ms`);
  },
): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<T>((resolve, reject) => {
    timer = setTimeout(() => {
      try {
        resolve(onLate());
      } catch (error) {
        reject(error);
      }
    }, deadlineMs);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

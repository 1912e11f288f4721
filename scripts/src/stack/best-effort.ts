// Work whose failure the stack survives, such as bookkeeping on a full disk: a failure is reported once, and again when
// it works.
export type BestEffort = (what: string, work: () => void) => boolean;

export function bestEffort(say: (text: string) => void): BestEffort {
  const failing = new Set<string>();
  return (what, work) => {
    try {
      work();
    } catch (error) {
      if (!failing.has(what))
        say(`${what} could not be written: ${(error as Error).message}. The stack goes on.`);
      failing.add(what);
      return false;
    }
    if (failing.delete(what)) say(`${what} is written again.`);
    return true;
  };
}

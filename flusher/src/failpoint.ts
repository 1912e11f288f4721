// For tests only: WHEREABOUTS_FAILPOINT names the step at which this process kills itself, so that a test can see what a
// crash at that point leaves behind.

export const FAILPOINTS = [
  'after_begin',
  'after_page',
  'after_scan',
  'after_upsert',
  'after_commit',
  'after_flushed',
] as const;
export type Failpoint = (typeof FAILPOINTS)[number];

/** To be called at each step. */
export type Reached = (step: Failpoint) => void;

export function failAt(failpoint: Failpoint | null): Reached {
  return (step) => {
    if (step === failpoint) process.kill(process.pid, 'SIGKILL');
  };
}

// The one handler of requests to stop. Ctrl-C comes twice: from the terminal, which signals the whole process group,
// and from npm, which forwards it. So repeats within a moment count as one; a later one means: by force.
const SAME_WISH_MS = 1_000;

export type StopHandler = (reason: string, byForce: boolean) => void;

export function onStop(handler: StopHandler): void {
  let firstAt: number | undefined;
  const wish = (reason: string) => {
    const now = performance.now();
    if (firstAt !== undefined && now - firstAt < SAME_WISH_MS) return;
    const byForce = firstAt !== undefined;
    firstAt ??= now;
    handler(reason, byForce);
  };
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => wish(signal));
  if (process.channel) {
    // The script that started us is gone, so nobody can send us a signal any more.
    process.once('disconnect', () => firstAt === undefined && wish('the parent is gone'));
    process.channel.unref();
  }
  // A closed terminal must not end the process before it has cleaned up.
  process.stdout.on('error', () => {});
  process.stderr.on('error', () => {});
}

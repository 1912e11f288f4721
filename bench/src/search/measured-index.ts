// One measurement of the index in a separate process.
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { IndexReport, IndexTask } from './index-worker.js';

const WORKER = fileURLToPath(new URL('./index-worker.js', import.meta.url));

export async function measureIndex(task: IndexTask): Promise<IndexReport> {
  const execArgv = ['--expose-gc', '--max-old-space-size=4096'];
  const worker = fork(WORKER, { execArgv, stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  const exited = once(worker, 'exit');
  worker.send(task);
  const answer = await Promise.race([once(worker, 'message'), exited.then(() => null)]);
  await exited;
  if (answer === null) throw new Error('the index could not be measured');
  return answer[0] as IndexReport;
}

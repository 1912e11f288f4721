// Loaded into the services of a stack that is profiled (`--import`): ingest writes V8's CPU profile of its whole life
// into PROFILE_DIR when it ends. `--cpu-prof` would, but NODE_OPTIONS does not take it.
import { writeFileSync } from 'node:fs';
import { Session } from 'node:inspector';
import { join } from 'node:path';

const { PROFILE_DIR } = process.env;
if (PROFILE_DIR !== undefined && process.argv[1]?.endsWith(join('ingest', 'dist', 'main.js'))) {
  const session = new Session();
  session.connect();
  session.post('Profiler.enable');
  session.post('Profiler.start');
  process.on('exit', () => {
    // Answered synchronously: the session is of this same thread.
    session.post('Profiler.stop', (error, answer) => {
      if (error === null)
        writeFileSync(join(PROFILE_DIR, `${process.pid}.cpuprofile`), JSON.stringify(answer.profile));
    });
  });
}

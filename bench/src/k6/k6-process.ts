// k6 as a child: found on the PATH, with only the given environment, and with its usage reports disabled.
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { root } from '@whereabouts/scripts/home';
import { NotInstalled } from '../bench.js';
import type { K6Summary } from './summary.js';

const HOW_TO_GET =
  'Get it by `go install go.k6.io/k6@v1.8.1` (Go 1.25 or newer, about a minute), by `brew install k6`, or from the ' +
  'apt repository that https://grafana.com/docs/k6/latest/set-up/install-k6/ names.';
/** The first with the module k6/websockets. */
const LEAST_VERSION = [1, 6] as const;
const THRESHOLDS_CROSSED = 99;
const KILL_AFTER_MS = 5000;

/** As it calls itself. */
export async function findK6(): Promise<string> {
  let said: string;
  try {
    said = (await promisify(execFile)('k6', ['version'])).stdout;
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'ENOENT') throw cause;
    throw new NotInstalled(`k6 is not on the PATH. ${HOW_TO_GET}`, { cause });
  }
  const [, version = said.trim(), major, minor] = /v((\d+)\.(\d+)\S*)/.exec(said) ?? [];
  const [leastMajor, leastMinor] = LEAST_VERSION;
  if (Number(major) > leastMajor || (Number(major) === leastMajor && Number(minor) >= leastMinor)) {
    return version;
  }
  throw new NotInstalled(`k6 ${version} is older than ${LEAST_VERSION.join('.')}. ${HOW_TO_GET}`);
}

/** Resolves with k6's own summary, even if thresholds were crossed. */
export async function runK6(
  script: string,
  env: Record<string, string | number>,
  deadlineMs: number,
): Promise<K6Summary> {
  const dir = mkdtempSync(join(tmpdir(), 'whereabouts-k6-'));
  const summaryFile = join(dir, 'summary.json');
  const args = [
    ...['run', '--quiet', '--no-usage-report', '--include-system-env-vars=false'],
    '--address=', // no control port
    ...['--summary-export', summaryFile],
    ...Object.entries(env).flatMap(([name, value]) => ['--env', `${name}=${value}`]),
    join(root, 'bench', 'k6', `${script}.js`),
  ];
  const k6 = spawn('k6', args, { cwd: root, stdio: ['ignore', 'ignore', 'inherit'] });
  const interrupt = setTimeout(() => k6.kill('SIGINT'), deadlineMs);
  const kill = setTimeout(() => k6.kill('SIGKILL'), deadlineMs + KILL_AFTER_MS);
  try {
    const [status, signal] = await once(k6, 'exit');
    if (status !== 0 && status !== THRESHOLDS_CROSSED) {
      throw new Error(`k6 run ${script}.js ended with ${status ?? signal}`);
    }
    return JSON.parse(readFileSync(summaryFile, 'utf8')) as K6Summary;
  } finally {
    clearTimeout(interrupt);
    clearTimeout(kill);
    rmSync(dir, { recursive: true, force: true });
  }
}

// The Python in which tests run clients and tools written in Python, if it exists with the modules they need. PYTHON
// names one; else it is that of `.whereabouts/python` (a venv with what `.ci/python.txt` lists), or `python3`.
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const VENV = fileURLToPath(new URL('../../../../.whereabouts/python/bin/python3', import.meta.url));
const DEADLINE_MS = 60_000;

/** Null if none has all of these modules. */
export async function pythonWith(...modules: readonly string[]): Promise<string | null> {
  const { PYTHON } = process.env;
  const candidates = PYTHON ? [PYTHON] : [...(existsSync(VENV) ? [VENV] : []), 'python3'];
  for (const python of candidates) {
    try {
      await promisify(execFile)(python, ['-c', `import ${modules.join(', ')}`], { timeout: DEADLINE_MS });
      return python;
    } catch {
      // The next one may have them.
    }
  }
  return null;
}

/** For a test's `skip`: false if there is a Python, else the reason, which is also printed. */
export function skipWithout(python: string | null, modules: string, what: string): string | false {
  if (python !== null) return false;
  const why = `no Python with ${modules} on this machine (see .ci/python.txt): ${what} NOT TESTED`;
  console.warn(why);
  return why;
}

// The Python client as a process: a program that reports, does what it is told on its standard input, and prints what
// its client tells, a line of JSON each.
import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { until } from './edge-under-test.js';

const FOLDER = fileURLToPath(new URL('../../client/python', import.meta.url));

const PROGRAM = `
import asyncio, json, sys
from whereabouts_client import CheckpointError, DriverClient

tokens = iter(sys.argv[2:])
last = None

def get_token():
    global last
    last = next(tokens, last)
    return last

def show(event, **details):
    print(json.dumps({"event": event, **details}), flush=True)

async def checkpoint(client, checkpoint_id, deadline_s):
    try:
        await client.checkpoint(checkpoint_id, lat=52.52, lon=13.405, deadline_s=deadline_s)
        show("resolved", id=checkpoint_id)
    except CheckpointError as error:
        show("rejected", id=checkpoint_id, code=error.code)

async def main():
    loop = asyncio.get_running_loop()
    waiting = set()
    async with DriverClient(sys.argv[1], get_token, ack="each", on_event=show) as client:
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            command, *arguments = line.split()
            if command == "report":
                client.report(lat=52.52, lon=float(arguments[0]), status="busy")
            elif command == "checkpoint":
                waiting.add(asyncio.create_task(checkpoint(client, arguments[0], float(arguments[1]))))
        show("leaving")
    show("left")

asyncio.run(main())
`;

export interface Told {
  event: string;
  [detail: string]: unknown;
}

export class PythonDriver {
  readonly told: Told[] = [];
  readonly #child: ChildProcess;
  #errors = '';

  /** `tokens`: the first, and then the next each time that it asks. */
  constructor(python: string, url: string, ...tokens: readonly string[]) {
    this.#child = spawn(python, ['-c', PROGRAM, url, ...tokens], {
      env: { ...process.env, PYTHONPATH: FOLDER, PYTHONDONTWRITEBYTECODE: '1' },
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    this.#child.stderr?.on('data', (chunk) => {
      this.#errors += chunk;
    });
    if (this.#child.stdout) {
      createInterface(this.#child.stdout).on('line', (line) => this.told.push(JSON.parse(line) as Told));
    }
  }

  report(lon: number): void {
    this.#child.stdin?.write(`report ${lon}\n`);
  }

  checkpoint(id: string, deadlineS = 60): void {
    this.#child.stdin?.write(`checkpoint ${id} ${deadlineS}\n`);
  }

  of(event: string): Told[] {
    return this.told.filter((one) => one.event === event);
  }

  /** The nth of this kind. */
  async hears(event: string, nth = 1, deadlineMs = 30_000): Promise<Told> {
    const all = () => `${JSON.stringify(this.told)} ${this.#errors}`;
    await until(
      `the Python client tells of ${event} ${nth}: ${all()}`,
      () => this.of(event).length >= nth || this.#child.exitCode !== null,
      deadlineMs,
    ).catch((error) => {
      throw new Error(`no ${event} ${nth} in ${all()}`, { cause: error });
    });
    const found = this.of(event)[nth - 1];
    if (!found) throw new Error(`it ended before ${event} ${nth}: ${all()}`);
    return found;
  }

  /** Says goodbye, as its input ends. */
  async leaves(): Promise<void> {
    this.#child.stdin?.end();
    await this.hears('left');
  }

  kill(): void {
    if (this.#child.exitCode === null) this.#child.kill('SIGKILL');
  }
}

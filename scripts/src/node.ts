// `npm run node`: lists the servers of the running stack, and restarts one that is down.
import { command, runMain, verb } from './cli.js';
import { type ServerRow, wish } from './stack/control.js';
import { runningStack } from './stack-file.js';
import { style, tableText } from './terminal.js';

const COLOUR = { up: 'green', down: 'red', silent: 'yellow' } as const;

function show(servers: readonly ServerRow[], json: boolean | undefined): void {
  if (json) {
    console.log(JSON.stringify({ servers }));
    return;
  }
  const rows = servers.map(({ name, address, role, pid, state }) => [
    name,
    address,
    role,
    state === 'down' ? '-' : pid,
    style(COLOUR[state], state),
  ]);
  console.log(tableText(['name', 'address', 'role', 'pid', 'state'], rows));
}

const program = command('run node', {
  about: 'Lists the Redis nodes and Postgres of the running stack, or starts one that is down.',
  examples: ['', 'start 7102', 'start postgres'],
}).action(async ({ json }) => show(await wish(runningStack().control, 'GET', '/servers'), json));

verb(program, 'start', {
  about: 'Starts a server that is down, with its data.',
  examples: ['7102', 'postgres'],
})
  .argument('<NAME>', 'its port, or postgres')
  .action(async (name) => {
    const { control } = runningStack();
    show(await wish(control, 'POST', `/servers/${encodeURIComponent(name)}/start`), program.opts().json);
  });

await runMain(program);

// `npm run node`: the servers of the running stack, and how one that is down comes back.
import { parseCommand, runMain, style, UsageError } from './cli.js';
import { type ServerRow, wish } from './stack/control.js';
import { runningStack } from './stack-file.js';

const COMMAND = {
  name: 'run node',
  about:
    'Lists the Redis nodes and Postgres of the running stack.\n' +
    'start NAME   starts one that is down again, with its data; NAME is its port, or postgres',
  positionals: '[start NAME]',
  options: {},
};

function tableOf(rows: readonly ServerRow[]): string {
  const cells = rows.map(({ name, address, role, pid, state }) => [
    name,
    address,
    role,
    state === 'down' ? '-' : String(pid),
    state,
  ]);
  const all = [['name', 'address', 'role', 'pid', 'state'], ...cells];
  const widths = [0, 1, 2, 3].map((column) => Math.max(...all.map((row) => row[column]?.length ?? 0)));
  const lines = all.map((row) => row.map((cell, i) => cell.padEnd(widths[i] ?? 0)).join('  '));
  return lines.map((line) => (line.endsWith('down') ? style('red', line) : line)).join('\n');
}

await runMain(async () => {
  const args = parseCommand(COMMAND);
  const [verb, name, ...more] = args.positionals;
  const wantsStart = verb === 'start' && name !== undefined && more.length === 0;
  if (verb !== undefined && !wantsStart) throw new UsageError('Give nothing, or: start NAME.');
  const { control } = runningStack();
  const rows = wantsStart
    ? await wish(control, 'POST', `/servers/${encodeURIComponent(name)}/start`)
    : await wish(control, 'GET', '/servers');
  console.log(args.has('json') ? JSON.stringify({ servers: rows }) : tableOf(rows));
});

// `npm run bench -- NAME`: what a bench measures stands on top of its file.

import { parseArgs } from 'node:util';
import { cost } from './cost.js';

const HELP = `Measures on a stack of its own; nothing else should run meanwhile.

Usage: npm run bench -- cost [--drivers N] [--seconds N] [--json]

  cost           CPU for each acknowledged position, over a bare uWebSockets.js echo
  --drivers N    sockets, each with a report every 2 s (10000)
  --seconds N    measured for each mode, after 6 s to warm up (20)
  --json         machine-readable`;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    drivers: { type: 'string', default: '10000' },
    seconds: { type: 'string', default: '20' },
    json: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});
const [name = 'cost'] = positionals;
const drivers = Number(values.drivers);
const seconds = Number(values.seconds);
const isUsable = name === 'cost' && Number.isInteger(drivers) && drivers > 0 && seconds > 0;
if (values.help || !isUsable) {
  process.stdout.write(`${HELP}\n`);
  process.exitCode = values.help ? 0 : 2;
} else await cost({ drivers, seconds, json: values.json });

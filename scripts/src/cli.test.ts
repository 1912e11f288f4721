import assert from 'node:assert/strict';
import { test } from 'node:test';
import { command, number, oneOf, parse, verb } from './cli.js';

interface Flight {
  height?: number;
  fast?: true;
  kind?: string;
  json?: true;
}

function fly() {
  let flown: Flight | undefined;
  const program = command('run fly', { about: 'Flies.', examples: ['--height 12', ''] })
    .option('--height <M>', 'how high', number('--height', { min: 0, max: 10_000 }))
    .option('--wind <X>', 'how much', number('--wind', { min: 0.5, max: 2, whole: false }))
    .option('--kind <KIND>', 'what', oneOf('--kind', ['kite', 'balloon']))
    .option('--fast', 'faster')
    .action((options) => {
      flown = options;
    });
  verb(program, 'land', { about: 'Lands.', examples: ['there'] })
    .argument('<PLACE>', 'where')
    .action((place) => {
      flown = { kind: `landed ${place}`, ...program.opts() };
    });
  return { program, flown: () => flown };
}

async function read(...args: string[]): Promise<Flight | undefined> {
  const { program, flown } = fly();
  await parse(program, args);
  return flown();
}

const refused = (args: string[], message: RegExp) =>
  assert.rejects(read(...args), (error: Error & { code?: string }) => {
    assert.equal(error.code, 'usage', error.message);
    assert.match(error.message, message);
    return true;
  });

test('values, switches and the common --json', async () => {
  assert.deepEqual(await read('--height', '12', '--fast', '--json'), { height: 12, fast: true, json: true });
  assert.deepEqual(await read(), {});
  assert.deepEqual(await read('--wind=1.5'), { wind: 1.5 });
});

test('a verb has arguments of its own and the options of its command', async () => {
  assert.deepEqual(await read('land', 'there', '--json'), { kind: 'landed there', json: true });
  await refused(['land'], /Missing required argument 'PLACE'/);
});

test('an unknown option or word is refused, with the one that was meant', async () => {
  await refused(['--heigth', '12'], /Unknown option '--heigth'\s+\(Did you mean --height\?\)/);
  await refused(['--colour'], /Unknown option '--colour'\s+See: npm run fly -- --help/);
  await refused(['lamd'], /^"lamd" is not expected; there is: land\s+See/);
});

test('a bad value is told with what was given and what would do', async () => {
  const range = 'a whole number from 0 to 10,000';
  await refused(['--height', '-1'], new RegExp(`^--height must be ${range}, got -1$`));
  for (const text of ['10001', '1.5', 'high', '0x10', 'Infinity']) {
    await refused([`--height=${text}`], new RegExp(`^--height must be ${range}, got ${text}$`));
  }
  await refused(['--height='], /got nothing$/);
  await refused(['--wind', '3'], /^--wind must be a number from 0.5 to 2, got 3$/);
  await refused(['--kind', 'plane'], /^--kind must be kite or balloon, got plane$/);
  await refused(['--height'], /'--height <M>' argument missing/);
});

test('an option that npm took for itself is told', async () => {
  process.env.npm_config_height = '12';
  try {
    await refused([], /Put -- before it: npm run fly -- --height/);
  } finally {
    delete process.env.npm_config_height;
  }
});

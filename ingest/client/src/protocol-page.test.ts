// PROTOCOL.md is a promise to people who cannot read this code: each of its examples is run here, and its tables are
// compared with the constants.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { it } from 'node:test';
import { decodeClientMessage, decodeServerMessage } from './frame.js';
import { CLOSE_CODES, NACK_CODES, parseClientMessage, RETRYABLE } from './protocol.js';
import { parseServerMessage } from './server-message.js';

const page = readFileSync(new URL('../../../PROTOCOL.md', import.meta.url), 'utf8');

function examples(language: string): string[] {
  const blocks = page.matchAll(new RegExp(`^\`\`\`${language}\n(.*?)\n\`\`\`$`, 'gms'));
  return [...blocks].map((block) => block[1] as string);
}

const messages = (side: string): string[] => [
  ...examples(`json ${side}`),
  ...examples(`jsonl ${side}`).flatMap((block) => block.split('\n')),
];

/** The content of the JSON form, without the fields that the binary form leaves out. */
const said = (message: object): unknown => JSON.parse(JSON.stringify(message));

it('shows JSON messages that are read as they stand', () => {
  const fromClient = messages('client');
  const fromServer = messages('server');
  for (const line of fromClient) assert.deepEqual(said(parseClientMessage(line)), JSON.parse(line));
  for (const line of fromServer) assert.deepEqual(said(parseServerMessage(line)), JSON.parse(line));
  const types = [...fromClient, ...fromServer].map((line) => JSON.parse(line).type);
  assert.deepEqual([...new Set(types)].sort(), [
    'ack',
    'bye',
    'hello',
    'nack',
    'pace',
    'persisted',
    'position',
    'positions',
    'token',
  ]);
});

it('shows frames that mean what stands below them', () => {
  for (const [side, decode] of [
    ['client', decodeClientMessage],
    ['server', decodeServerMessage],
  ] as const) {
    const blocks = examples(`hex ${side}`);
    assert.ok(blocks.length > 0);
    for (const block of blocks) {
      const [hex, json] = block.split('\n');
      const bytes = Buffer.from((hex as string).replaceAll(' ', ''), 'hex');
      assert.deepEqual(said(decode(bytes)), JSON.parse(json as string));
    }
  }
});

it('has a row for every nack code, with its retryable, and the order of its codes in frames', () => {
  for (const code of NACK_CODES)
    assert.match(page, new RegExp(`^\\| \`${code}\` +\\| ${RETRYABLE[code] ? 'yes' : 'no'} +\\|`, 'm'));
  assert.ok(page.includes(NACK_CODES.map((code, index) => `${index} \`${code}\``).join(', ')));
});

it('has a row for every close code', () => {
  const rows = page.match(/^\| [\d, ]+\|/gm)?.join(' ') ?? '';
  for (const code of Object.values(CLOSE_CODES)) assert.match(rows, new RegExp(`\\b${code}\\b`));
});

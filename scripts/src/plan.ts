// `npm run plan`: the capacity for a number of drivers (plan/capacity.ts); or one master more or fewer, with every
// share still one stretch of the curve: which slots move, what that does to the map, and the commands for it; --apply
// carries it out on the running stack.
import { adminConnection } from '@whereabouts/infra/local/redis-node';
import { command, runMain } from './cli.js';
import { clusterNodes, type NodeView, ownersOf, replicasOf } from './drill/cluster-view.js';
import { partitionRows } from './drill/regions.js';
import { home } from './home.js';
import { asksForCapacity, refuseMixture, runCapacity, withCapacityOptions } from './plan/capacity-command.js';
import { type Move, movesToAdd, movesToRemove, PlanError, type Stretch } from './plan/contiguous-moves.js';
import { type Effect, effectOf, type Share } from './plan/effects.js';
import { type Growth, growCluster, isGrown, shrinkCluster } from './plan/grown-nodes.js';
import { commandsToAdd, commandsToRemove } from './plan/redis-commands.js';
import { carryOut } from './plan/slot-mover.js';
import { redisAdminPassword } from './stack/redis-admin.js';
import { HOST } from './stack/service-env.js';
import { runningStack, type Stack } from './stack-file.js';
import { style, tableText, wrapText } from './terminal.js';
import { UsageError } from './usage-error.js';

const NEW_MASTER = 'NEW_HOST:6379';
const program = withCapacityOptions(
  command('run plan', {
    about:
      'Plans the capacity for a number of drivers; or one Redis master more or fewer, so that each still carries one stretch of the map.',
    examples: [
      '--drivers 100000',
      '--table > capacity.md',
      '--add-master',
      '--add-master --apply',
      '--remove-master 127.0.0.1:7106 --apply',
    ],
    notes: [
      'What a plan with --drivers or --table needs to know is measured by `npm run bench`; it says what is missing.',
      'With --apply --add-master a master (and as many replicas as the others have) is started and takes its part; --remove-master takes it away again. Do that before the stack stops, or start it with --fresh the next time.',
    ],
  }),
)
  .option('--add-master', 'the moves to a new one')
  .option('--remove-master <HOST:PORT>', 'the moves away from this one')
  .option(
    '--at <HOST:PORT>',
    `with --add-master: where it will run, for the commands (default: ${NEW_MASTER})`,
  )
  .option('--apply', 'carries it out on the running stack, under load');

type Options = ReturnType<typeof program.opts>;

interface Cluster {
  stack: Stack;
  nodes: NodeView[];
  owners: NodeView[];
  stretches: Stretch[];
}

async function look(stack: Stack): Promise<Cluster> {
  const nodes = await clusterNodes(stack);
  const owners = ownersOf(nodes);
  const stretches = owners.flatMap(({ address, slots }) =>
    slots.map(([first, last]) => ({ node: address, first, last })),
  );
  return { stack, nodes, owners, stretches };
}

const number = (value: number | null) => (value === null ? '?' : value.toLocaleString('en'));

function shareText(before: readonly Share[], after: readonly Share[]): string {
  const nodes = [...new Set([...before, ...after].map(({ node }) => node))];
  const cells = (shares: readonly Share[], node: string) => {
    const share = shares.find((one) => one.node === node);
    return share ? [share.slots, share.partitions, share.drivers].map(number) : ['-', '-', '-'];
  };
  const rows = nodes.map((node) => [node, ...cells(before, node), '->', ...cells(after, node)]);
  const heads = ['slots', 'partitions', 'drivers'];
  return tableText(['', ...heads, '', ...heads], rows, { right: [1, 2, 3, 5, 6, 7] });
}

function movesText({ moves }: Effect): string {
  const rows = moves.map(({ from, to, slots, count, partitions, range, drivers }, i) => {
    const what = range === null ? 'no partition' : `partitions ${partitions[0]} to ${partitions.at(-1)}`;
    const where = range === null ? '' : ` (${range.from} to ${range.to}), ${number(drivers)} drivers`;
    const text = `  ${i + 1}. slots ${slots.first} to ${slots.last} (${number(count)}): ${from} -> ${to}, ${what}${where}`;
    return wrapText(text, 5);
  });
  return rows.length === 0 ? '  nothing has to move' : rows.join('\n');
}

async function applyMoves(
  cluster: Cluster,
  moves: readonly Move[],
  used: ReadonlySet<number>,
): Promise<void> {
  const password = redisAdminPassword(home);
  // Not every node that calls itself a master: a replica that has just joined is listed as one for a moment.
  const addresses = new Set([...cluster.owners.map(({ address }) => address), ...moves.map(({ to }) => to)]);
  const masters = cluster.nodes
    .filter(({ address }) => addresses.has(address))
    .map(({ address, id }) => ({ address, id, connection: adminConnection(address, password) }));
  let moved = 0;
  const progress = (count: number) => {
    moved += count;
  };
  try {
    await Promise.all(masters.map(({ connection }) => connection.connect()));
    for (const move of moves) {
      await carryOut({ masters, password, used, progress }, move);
      say(`${number(moved)} slots have moved`);
    }
  } finally {
    for (const { connection } of masters) connection.disconnect();
  }
}

let say = (text: string): void => console.log(text);

async function main(options: Options): Promise<void> {
  refuseMixture(program);
  if (asksForCapacity(options)) {
    runCapacity(options);
    return;
  }
  const { addMaster: adds = false, removeMaster: removed, apply = false, json = false } = options;
  if (adds === (removed !== undefined))
    throw new UsageError('Give --drivers N, --table, --add-master or --remove-master HOST:PORT.');
  if (json) say = (text) => console.error(text);
  const stack = runningStack();
  let cluster = await look(stack);
  const rows = await partitionRows(stack);
  const growth: Growth = { home, stackPid: stack.pid, nodes: cluster.nodes, say };
  const leaver = cluster.owners.find(({ address }) => address === removed);
  if (apply && removed !== undefined && !isGrown(home, removed)) {
    throw new UsageError(`--apply takes away only a master that --add-master has added, not ${removed}.`);
  }
  if (apply && adds && stack.redis.some(({ host }) => host !== HOST)) {
    throw new UsageError(
      '--apply adds nodes on loopback, which the master in a network namespace cannot reach.',
    );
  }
  let added = options.at ?? NEW_MASTER;
  if (adds && apply) {
    movesToAdd(cluster.stretches, added); // refused before anything is started
    const replicas = Math.min(...cluster.owners.map((owner) => replicasOf(cluster.nodes, owner).length));
    added = await growCluster(growth, replicas);
    cluster = await look(stack);
  }
  const moves = adds
    ? movesToAdd(cluster.stretches, added)
    : movesToRemove(cluster.stretches, removed as string);
  const effect = effectOf(cluster.stretches, moves, rows);
  const leaving = leaver ? [...replicasOf(cluster.nodes, leaver), leaver] : [];
  const commands = adds
    ? commandsToAdd(moves, cluster.owners, added)
    : commandsToRemove(moves, cluster.owners, leaving);
  if (json) console.log(JSON.stringify({ ...effect, commands }));
  else {
    console.log(`${style('bold', 'Moves')}\n${movesText(effect)}`);
    console.log(
      `${style('bold', 'Each master, before -> after')}\n${shareText(effect.before, effect.after)}`,
    );
    if (!apply) console.log(`${style('bold', 'Commands')}\n${commands.join('\n')}`);
  }
  if (!apply) return;
  await applyMoves(cluster, moves, new Set(rows.map(({ slot }) => slot)));
  if (!adds) await shrinkCluster({ ...growth, nodes: cluster.nodes }, leaving);
  say(adds ? `${added} carries its part now.` : `${removed} is gone.`);
}

program.action(async (options) => {
  try {
    await main(options);
  } catch (error) {
    if (error instanceof PlanError) throw new UsageError(error.message, { cause: error });
    throw error;
  }
});

await runMain(program);

// The moves as commands of Redis's own tools, for a cluster that `plan --apply` may not touch. A shell function moves
// one slot in the order that loses nothing: the new owner learns first, and the keys of a slot go in one MIGRATE.
import { parseAddress } from '@whereabouts/infra/node-address';
import type { Move } from './contiguous-moves.js';

export interface KnownNode {
  address: string;
  id: string;
}

function cli(address: string): string {
  const { host, port } = parseAddress(address);
  return `redis-cli -h ${host} -p ${port}`;
}

/** redis-cli takes an IPv6 host without brackets. */
function member(address: string): string {
  const { host, port } = parseAddress(address);
  return `${host}:${port}`;
}

function mover(masters: readonly KnownNode[]): string[] {
  const tell = masters.map(({ address }) => `  ${cli(address)} cluster setslot "$1" node "$7" >/dev/null`);
  return [
    '# The password of a user who may do everything, of all nodes: export REDISCLI_AUTH=...',
    '# slot, host, port and id of the owner, host, port and id of the new owner',
    'move_slot() {',
    '  redis-cli -h "$5" -p "$6" cluster setslot "$1" importing "$4" >/dev/null',
    '  redis-cli -h "$2" -p "$3" cluster setslot "$1" migrating "$7" >/dev/null',
    '  while keys=$(redis-cli -h "$2" -p "$3" cluster getkeysinslot "$1" 100) && [ -n "$keys" ]; do',
    // On stdin: every user of the machine can read the arguments of a process, and so the password.
    `    printf '%s ' migrate "$5" "$6" '""' 0 5000 auth2 default "\\"$REDISCLI_AUTH\\"" keys $keys |`,
    '      redis-cli -h "$2" -p "$3" || return 1',
    '  done',
    '  redis-cli -h "$5" -p "$6" cluster setslot "$1" node "$7" >/dev/null',
    '  redis-cli -h "$2" -p "$3" cluster setslot "$1" node "$7" >/dev/null',
    ...tell,
    '}',
  ];
}

function loop(move: Move, ids: ReadonlyMap<string, string>): string {
  const [from, to] = [parseAddress(move.from), parseAddress(move.to)];
  const { first, last } = move.slots;
  const owner = `${from.host} ${from.port} ${ids.get(move.from)}`;
  const heir = `${to.host} ${to.port} ${ids.get(move.to)}`;
  const step = first <= last ? 1 : -1;
  return `for slot in $(seq ${first} ${step} ${last}); do move_slot "$slot" ${owner} ${heir} || break; done`;
}

/** `added`: its id is known once it runs. */
export function commandsToAdd(
  moves: readonly Move[],
  masters: readonly KnownNode[],
  added: string,
): string[] {
  const entry = member(masters[0]?.address as string);
  const ids = new Map([...masters.map(({ address, id }) => [address, id] as const), [added, '$NEW_ID']]);
  return [
    `# 1. Start it with the settings and users of the others, then let it join; it gets their functions.`,
    `redis-cli --cluster add-node ${member(added)} ${entry}`,
    `# and a replica: redis-cli --cluster add-node REPLICA ${entry} --cluster-slave --cluster-master-id NEW_ID`,
    '# 2. Move the slots, in this order.',
    `NEW_ID=$(${cli(added)} cluster myid)`,
    ...masters.map(
      ({ address }) => `until ${cli(address)} cluster nodes | grep -q "^$NEW_ID"; do sleep 1; done`,
    ),
    `until ${cli(added)} cluster info | grep -q cluster_state:ok; do sleep 1; done`,
    ...mover(masters),
    ...moves.map((move) => loop(move, ids).replaceAll('$NEW_ID', '"$NEW_ID"')),
  ];
}

export function commandsToRemove(
  moves: readonly Move[],
  masters: readonly KnownNode[],
  leaving: readonly KnownNode[],
): string[] {
  const ids = new Map(masters.map(({ address, id }) => [address, id] as const));
  const gone = new Set(leaving.map(({ address }) => address));
  const entry = masters.find(({ address }) => !gone.has(address))?.address as string;
  return [
    '# 1. Move the slots, in this order.',
    ...mover(masters),
    ...moves.map((move) => loop(move, ids)),
    '# 2. Take it out, its replicas first.',
    ...leaving.map(({ id }) => `redis-cli --cluster del-node ${member(entry)} ${id}`),
  ];
}

// Making and undoing a fault, for steps that several drills share.
import type { Scene } from './scene.js';

const POSTGRES_AWAY_MS = 3_000;

export async function killMaster(scene: Scene): Promise<void> {
  const { address } = scene.victim;
  const pid = await scene.remember(address);
  await scene.kill(pid, `kill -9 of the master ${address}`);
}

export async function restartMaster(scene: Scene): Promise<void> {
  await scene.startRedis(scene.victim.address);
  scene.undone(`${scene.victim.address} runs again, with its data`);
}

export const shardOf = (scene: Scene) => [scene.victim, ...scene.replicas].map(({ address }) => address);

export async function killShard(scene: Scene): Promise<void> {
  const pids: number[] = [];
  for (const address of shardOf(scene)) pids.push(await scene.remember(address));
  for (const [i, address] of shardOf(scene).entries())
    await scene.kill(pids[i] as number, `kill -9 of ${address}`);
}

export async function restartShard(scene: Scene): Promise<void> {
  await Promise.all(shardOf(scene).map((address) => scene.startRedis(address)));
  scene.undone(`${shardOf(scene).join(' and ')} run again`);
}

export async function killPostgres(scene: Scene): Promise<void> {
  await scene.kill(scene.rememberPostgres(), 'kill -9 of Postgres');
}

export async function restartPostgres(scene: Scene): Promise<void> {
  await scene.pause(POSTGRES_AWAY_MS);
  await scene.startPostgres();
  scene.undone('Postgres runs again');
}

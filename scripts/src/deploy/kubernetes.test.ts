// Compares the manifests of infra/deploy/kubernetes with what they rely on: the Dockerfile, the settings, the drain
// times, and redis.conf. If kustomize is on the PATH the overlays are built too, and with kubeconform validated.
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { parsePartitionMap } from '@whereabouts/infra/partition-map';
import { parseAllDocuments } from 'yaml';
import { root } from '../home.js';
import { lastOf, parseDockerfile } from './dockerfile.js';

const DEPLOY = join(root, 'infra', 'deploy');
const KUBERNETES = join(DEPLOY, 'kubernetes');
const OVERLAYS = readdirSync(join(KUBERNETES, 'overlays'));
const read = (...path: string[]) => readFileSync(join(...path), 'utf8');

interface Container {
  name: string;
  image: string;
  env?: { name: string; value?: string }[];
  ports?: { name: string; containerPort: number }[];
  volumeMounts?: { name: string; mountPath: string }[];
  lifecycle?: { preStop: { exec: { command: string[] } } };
}

interface Workload {
  kind: string;
  metadata: { name: string };
  spec: {
    template: {
      spec: {
        terminationGracePeriodSeconds?: number;
        containers: Container[];
        initContainers?: Container[];
        volumes: { name: string }[];
        topologySpreadConstraints?: { topologyKey: string; labelSelector: { matchLabels?: object } }[];
      };
    };
    volumeClaimTemplates?: { metadata: { name: string } }[];
  };
}

function workloads(): Workload[] {
  const files = readdirSync(KUBERNETES, { recursive: true, encoding: 'utf8' }).filter((file) =>
    file.endsWith('.yaml'),
  );
  const all = files.flatMap((file) =>
    parseAllDocuments(read(KUBERNETES, file)).map((document) => document.toJS() as Workload),
  );
  return all.filter(({ kind }) => ['Deployment', 'StatefulSet', 'Job'].includes(kind));
}

const podOf = ({ spec }: Workload) => spec.template.spec;

test('each container finds what its environment names, and each mount has its volume', () => {
  assert.ok(workloads().length >= 7);
  for (const workload of workloads()) {
    const { containers, initContainers = [], volumes } = podOf(workload);
    const claims = (workload.spec.volumeClaimTemplates ?? []).map(({ metadata }) => metadata.name);
    const names = [...volumes.map(({ name }) => name), ...claims];
    for (const { name, env = [], volumeMounts = [] } of [...containers, ...initContainers]) {
      for (const mount of volumeMounts) assert.ok(names.includes(mount.name), `${name} mounts ${mount.name}`);
      for (const variable of env.filter((given) => given.name.endsWith('_FILE'))) {
        const isMounted = volumeMounts.some(({ mountPath }) => variable.value?.startsWith(`${mountPath}/`));
        assert.ok(isMounted, `${name}: ${variable.name} is ${variable.value}`);
      }
    }
  }
});

test('each container knows its settings, and opens the ports of its image', () => {
  const settings = new Set(
    [...read(root, 'README.md').matchAll(/`([A-Z][A-Z0-9_]+)`/g)].map(([, name]) => name),
  );
  for (const file of readdirSync(join(root, 'docs'))) {
    if (file.endsWith('.md'))
      for (const [, name] of read(root, 'docs', file).matchAll(/`([A-Z][A-Z0-9_]+)`/g)) settings.add(name);
  }
  const stages = parseDockerfile(read(DEPLOY, 'docker', 'Dockerfile'));
  for (const workload of workloads()) {
    for (const { image, env = [], ports = [] } of podOf(workload).containers) {
      const target = /^whereabouts\/(.*)$/.exec(image)?.[1];
      if (target === undefined) continue;
      for (const { name } of env) assert.ok(settings.has(name), `${image}: nobody knows ${name}`);
      if (workload.kind === 'Job') continue;
      const exposed = lastOf(stages, target, 'EXPOSE') ?? '';
      assert.equal(ports.map(({ containerPort }) => containerPort).join(' '), exposed, image);
    }
  }
});

test('each pod has the time that its service takes to drain', () => {
  for (const workload of workloads().filter(({ kind }) => kind === 'Deployment')) {
    const { containers, terminationGracePeriodSeconds = 30 } = podOf(workload);
    const [{ env = [], lifecycle }] = containers as [Container];
    const drainMs = Number(env.find(({ name }) => name === 'DRAIN_DEADLINE_MS')?.value ?? 10_000);
    const sleepS = Number(lifecycle?.preStop.exec.command.at(-1) ?? 0);
    const isPromoter = workload.metadata.name === 'promoter'; // it has nothing to finish
    assert.ok(
      isPromoter || terminationGracePeriodSeconds * 1000 > drainMs + sleepS * 1000,
      `${workload.metadata.name}: ${terminationGracePeriodSeconds} s for ${drainMs} ms and ${sleepS} s`,
    );
  }
});

test('the masters of all shards are spread over the hosts, not those of each shard alone', () => {
  const shard = workloads().find(({ kind }) => kind === 'StatefulSet') as Workload;
  // Kustomize adds the label of the shard to every matchLabels.
  const over = (podOf(shard).topologySpreadConstraints ?? [])
    .filter(({ labelSelector }) => labelSelector.matchLabels === undefined)
    .map(({ topologyKey }) => topologyKey);
  // The API server refuses two constraints for one key.
  assert.deepEqual(over, ['kubernetes.io/hostname', 'topology.kubernetes.io/zone']);
});

test('redis.conf is the one that everything else runs with, and the maps are maps', () => {
  assert.equal(read(KUBERNETES, 'redis', 'redis.conf'), read(DEPLOY, 'redis', 'redis.conf'));
  for (const overlay of OVERLAYS)
    parsePartitionMap(read(KUBERNETES, 'overlays', overlay, 'partition-map.json'));
  parsePartitionMap(read(DEPLOY, 'partition-map.json'));
});

const has = (program: string) => spawnSync(program, ['version'], { stdio: 'ignore' }).error === undefined;
const hasKustomize = has('kustomize');
if (!hasKustomize) console.log('kustomize is not on the PATH: the overlays are not built here');

test('the overlays build, with the secrets of make-secrets.sh', { skip: !hasKustomize }, (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'whereabouts-kubernetes-'));
  t.after(() => rmSync(dir, { recursive: true }));
  cpSync(KUBERNETES, dir, { recursive: true });
  for (const overlay of OVERLAYS) {
    const folder = join(dir, 'overlays', overlay);
    execFileSync(join(DEPLOY, 'make-secrets.sh'), [join(folder, 'secrets')], { stdio: 'ignore' });
    mkdirSync(join(folder, 'authorities'), { recursive: true });
    for (const name of ['redis', 'postgres'])
      writeFileSync(join(folder, 'authorities', `${name}.pem`), 'PEM\n');
    const built = execFileSync('kustomize', ['build', folder], { encoding: 'utf8' });
    for (const kind of [
      'Deployment',
      'Job',
      'PodDisruptionBudget',
      'HorizontalPodAutoscaler',
      'NetworkPolicy',
      'Secret',
    ])
      assert.ok(new RegExp(`^kind: ${kind}$`, 'm').test(built), `${overlay}: ${kind}`);
    // A generated name has a hash of the content: without it a changed password would restart no pod.
    const unhashed =
      /secretName: (redis-\w+|jwt|postgres-\w+)$|configMap(Ref)?:\n\s+name: (addresses|partition-map)$/m;
    assert.equal(unhashed.exec(built)?.[0], undefined, overlay);
  }
});

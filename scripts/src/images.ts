// `npm run images`: carries out the Dockerfile in folders, without Docker, and runs what compose.yaml starts from these
// folders. It shows that each image has everything that its process needs without the clone. It needs npm's registry.
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { command, runMain } from './cli.js';
import { readComposeFile } from './deploy/compose-file.js';
import { ComposeRun } from './deploy/compose-run.js';
import { parseDockerfile } from './deploy/dockerfile.js';
import { ImageFolders } from './deploy/image-folder.js';
import { root } from './home.js';

const DEPLOY = join(root, 'infra', 'deploy');
/** The simulated drivers connect meanwhile, and the flusher flushes. */
const RUN_MS = 10_000;

const program = command('run images', {
  about:
    'Runs the steps of the Dockerfile in folders of this machine, without Docker, and starts from them what compose.yaml starts. It succeeds if every service was healthy and has drained.',
  examples: ['', '--keep'],
})
  .option('--keep', 'leave the folders')
  .action(({ keep, json }) => checkImages({ keepsFolders: keep === true, isJson: json === true }));

const megabytes = (folder: string): number =>
  readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .reduce((sum, { parentPath, name }) => sum + statSync(join(parentPath, name)).size, 0) / 1e6;

async function checkImages({
  keepsFolders,
  isJson,
}: {
  keepsFolders: boolean;
  isJson: boolean;
}): Promise<void> {
  const dir = mkdtempSync(join(tmpdir(), 'whereabouts-images-'));
  const say = (text: string) => (isJson ? console.error(text) : console.log(text));
  const sizesMb: Record<string, number> = {};
  try {
    const stages = parseDockerfile(readFileSync(join(DEPLOY, 'docker', 'Dockerfile'), 'utf8'));
    const images = new ImageFolders(stages, root, join(dir, 'images'), say);
    const { services } = readComposeFile(join(DEPLOY, 'compose.yaml'));
    const targets = new Set(Object.values(services).flatMap(({ build }) => build?.target ?? []));
    const folderOf = (target: string) => join(images.build(target).folder, 'app');
    for (const target of targets) {
      sizesMb[target] = megabytes(folderOf(target));
      say(`${target}: ${sizesMb[target].toFixed(1)} MB above its base image`);
    }
    const run = new ComposeRun({ deployDir: DEPLOY, stages, folderOf, dir, values: { DRIVERS: '50' }, say });
    let statuses: Record<string, number | string | null> = {};
    try {
      await run.start(['simulation']);
      await new Promise((resolve) => setTimeout(resolve, RUN_MS));
    } finally {
      statuses = await run.stop();
    }
    for (const [name, status] of Object.entries(statuses)) say(`${name} ended with ${status}`);
    if (isJson) console.log(JSON.stringify({ sizes_mb: sizesMb, statuses }));
    if (Object.values(statuses).some((status) => status !== 0)) process.exitCode = 1;
  } finally {
    if (keepsFolders) say(`left: ${dir}`);
    else rmSync(dir, { recursive: true, force: true });
  }
}

await runMain(program);

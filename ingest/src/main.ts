// Ingest: takes drivers' reports from their WebSockets to the live store. One process, or several behind one port.
import { launch } from '@whereabouts/infra/service/launch';
import { SettingsReader } from '@whereabouts/infra/service/settings';
import { runIngest } from './ingest.js';
import { runPrimary } from './primary.js';
import { readIngestSettings } from './settings.js';
import { isSibling } from './siblings.js';

await launch('ingest', async () => {
  const settings = readIngestSettings(new SettingsReader(process.env));
  if (isSibling()) await runIngest(settings, { isSibling: true });
  else if (settings.processes > 1) await runPrimary(settings);
  else await runIngest(settings, { isSibling: false });
});

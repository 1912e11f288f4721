// The outermost lines of every service's main.ts. They handle a failed start.

import { createLogger } from './log.js';
import { SettingsError } from './settings-reader.js';
import { EXIT_FAILED } from './shell.js';

/** EX_CONFIG of sysexits.h: starting again cannot help. */
const EXIT_BAD_SETTINGS = 78;

export async function launch(service: string, main: () => Promise<unknown>): Promise<void> {
  try {
    await main();
  } catch (error) {
    // Bad settings are for the person at the terminal, so neither JSON nor a stack.
    if (error instanceof SettingsError) process.stderr.write(`${service}: ${error.message}\n`);
    else createLogger(service, 'fatal').fatal({ err: error }, 'could not start');
    process.exit(error instanceof SettingsError ? EXIT_BAD_SETTINGS : EXIT_FAILED);
  }
}

/** `node scripts/install-system-needs.mjs`: installs what the browser tests need of the machine, if it is missing. */
import { script } from './lib/process.mjs';
import { installSystemNeeds } from './lib/system-needs.mjs';

await script(async () => {
  console.log(`The browser tests use ${await installSystemNeeds()}.`);
});

/** `node scripts/install-system-needs.mjs`: installs what the tests need of the machine, if it is missing. */
import { script } from './lib/process.mjs';
import { ALL_NEEDS, installSystemNeeds } from './lib/system-needs.mjs';

await script(async () => {
  await installSystemNeeds(ALL_NEEDS);
  console.log('All that the tests need of this machine is there.');
});

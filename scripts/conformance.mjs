/** `npm run conformance`: all of ipykernel's own tests against our kernel, plain ipykernel beside it. `npm test` runs those that start a kernel. */
import { compareWithIpykernel } from './lib/conformance.mjs';
import { script } from './lib/process.mjs';
import { setUp } from './lib/setup.mjs';

await script(async () => {
  await setUp();
  const { failures } = await compareWithIpykernel({ all: true });
  for (const failure of failures) {
    console.log(`failed: ${failure}`);
  }
  return failures.length === 0 ? 0 : 1;
});

/** `npm run test:foreign [-- SUITE]`: CPython's, NumPy's and pandas' whole own tests under tracking, and plainly beside it. `npm test` runs a part. */
import { compareForeign } from './lib/foreign.mjs';
import { script } from './lib/process.mjs';
import { setUp } from './lib/setup.mjs';

await script(async () => {
  const [only] = process.argv.slice(2);
  await setUp();
  const { failures } = await compareForeign({ all: true, ...(only === undefined ? {} : { only }) });
  for (const failure of failures) {
    console.log(`failed: ${failure}`);
  }
  return failures.length === 0 ? 0 : 1;
});

/** `npm run setup`: makes everything that is missing or out of date. */
import { script } from './lib/process.mjs';
import { setUp } from './lib/setup.mjs';

await script(async () => {
  const started = performance.now();
  await setUp();
  console.log(`Set up after ${((performance.now() - started) / 1000).toFixed(1)} s. \`npm start\` opens JupyterLab.`);
});

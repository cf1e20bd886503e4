/** `npm run deaths`, `npm run soak`: a long program of the end-to-end tests, with its options after `--`. */
import path from 'node:path';
import { LOGS, PYTHON, at } from './lib/paths.mjs';
import { run, script } from './lib/process.mjs';
import { setUp } from './lib/setup.mjs';

await script(async () => {
  const [name = '', ...options] = process.argv.slice(2);
  await setUp();
  return run(PYTHON, [at('kernel', 'e2e', `${name}.py`), ...options], {
    log: path.join(LOGS, `${name}.log`),
    echo: true,
    allowFailure: true,
  });
});

/** `npm run demo`: executes the example notebook without a browser; writes it and a page for each profiled cell into output/. */
import path from 'node:path';
import { existsSync, mkdirSync, readdirSync, rmSync, statSync } from 'node:fs';
import { EXAMPLE, LOGS, PYTHON, at, shown } from './lib/paths.mjs';
import { run, script } from './lib/process.mjs';
import { setUp } from './lib/setup.mjs';

const OUTPUT = at('output');

await script(async () => {
  // For whoever changed the example: commit it with its new outputs.
  const updates = process.argv.includes('--update-example');
  await setUp();
  process.stdout.write(`Executing ${shown(EXAMPLE)} on the kernel "Python 3 with Fil" ... `);
  const started = performance.now();
  const log = path.join(LOGS, 'demo.log');
  rmSync(log, { force: true });
  if (existsSync(OUTPUT)) {
    rmSync(OUTPUT, { recursive: true });
  }
  mkdirSync(OUTPUT, { recursive: true });
  const notebook = updates ? EXAMPLE : path.join(OUTPUT, path.basename(EXAMPLE));
  await run(PYTHON, [at('scripts', 'run_notebook.py'), EXAMPLE, notebook, '--pages', OUTPUT], {
    log,
    hint: 'the end of the log names the cell that failed; `npm run setup` makes sure that everything is built.',
  });
  console.log(`${((performance.now() - started) / 1000).toFixed(1)} s`);
  for (const file of new Set([notebook, ...readdirSync(OUTPUT).map((name) => path.join(OUTPUT, name))])) {
    console.log(`  ${shown(file)} (${Math.ceil(statSync(file).size / 1024)} KiB)`);
  }
});

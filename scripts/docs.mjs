/** `npm run docs`: builds the documentation site, with a strict check of its links. `npm run docs -- --serve` shows it while it is written. */
import path from 'node:path';
import { LOGS, at } from './lib/paths.mjs';
import { DOCS_COMMAND } from './lib/checks.mjs';
import { run, script } from './lib/process.mjs';
import { setUp } from './lib/setup.mjs';

await script(async () => {
  await setUp();
  const [command = '', ...args] = DOCS_COMMAND();
  if (process.argv.includes('--serve')) {
    await run(command, ['-m', 'mkdocs', 'serve', '--config-file', at('mkdocs.yml')], {
      log: path.join(LOGS, 'docs.log'),
      echo: true,
    });
    return;
  }
  await run(command, args, { log: path.join(LOGS, 'docs.log'), echo: true });
  console.log(`The documentation is in ${at('build', 'site', 'index.html')}.`);
});

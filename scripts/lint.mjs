/** `npm run lint`: format, lint and type checks. `npm run format`, which is the same with --fix, mends what can be mended. */
import path from 'node:path';
import { CHECKS } from './lib/checks.mjs';
import { LOGS } from './lib/paths.mjs';
import { run, script } from './lib/process.mjs';

await script(async () => {
  const fix = process.argv.includes('--fix');
  let failed = 0;
  for (const check of CHECKS) {
    const [command = '', ...args] = (fix ? check.fix : check.command)?.() ?? [];
    if (command !== '') {
      const log = path.join(LOGS, `lint-${check.name.replaceAll(' ', '-')}.log`);
      const status = await run(command, args, { log, echo: true, allowFailure: true });
      console.log(`${check.name}: ${status === 0 ? 'ok' : 'failed'}`);
      failed += status === 0 ? 0 : 1;
    }
  }
  return failed === 0 ? 0 : 1;
});

/** `npm run build [native kernel view lab ...]`: brings the named built files up to date, or all of them. */
import { Failure, script } from './lib/process.mjs';
import { STEPS } from './lib/setup-steps.mjs';
import { performAll } from './lib/steps.mjs';

/** The build's part of set-up; the rest makes the environment. */
const BUILDS = /** @type {const} */ (['native', 'kernel', 'view', 'lab']);

await script(async () => {
  const names = process.argv.slice(2);
  const unknown = names.filter((name) => !BUILDS.some((build) => build === name));
  if (unknown.length > 0) {
    throw new Failure(`There is no build called ${unknown.join(', ')}. There are ${BUILDS.join(', ')}.`);
  }
  const chosen = BUILDS.filter((build) => names.length === 0 || names.includes(build));
  await performAll(chosen.map((build) => STEPS[build]));
});

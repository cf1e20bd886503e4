/**
 * `npm run test:foreign [-- SUITE] [--sample] [--from N] [--to N]`: CPython's, NumPy's and pandas' whole own tests under tracking, or
 * sampled, and plainly beside it. They run in groups of modules; --from and --to choose some. `npm test` runs a part.
 */
import { parseArgs } from 'node:util';
import { compareForeign } from './lib/foreign.mjs';
import { Failure, script } from './lib/process.mjs';
import { setUp } from './lib/setup.mjs';

/** @param {string} name of the option @param {string | undefined} text @returns {Record<string, number>} */
function group(name, text) {
  if (text === undefined) {
    return {};
  }
  if (!/^[1-9]\d*$/.test(text)) {
    throw new Failure(`--${name} ${text}: the number of a group of modules is wanted, 1 for the first.`);
  }
  return { [name]: Number(text) };
}

await script(async () => {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { sample: { type: 'boolean', default: false }, from: { type: 'string' }, to: { type: 'string' } },
  });
  const [only] = positionals;
  await setUp();
  const { failures } = await compareForeign({
    all: true,
    mode: values.sample ? 'sampled' : 'tracked',
    ...(only === undefined ? {} : { only }),
    ...group('from', values.from),
    ...group('to', values.to),
  });
  for (const failure of failures) {
    console.log(`failed: ${failure}`);
  }
  return failures.length === 0 ? 0 : 1;
});

/**
 * `npm run prove:sampling [-- --rounds N --mean BYTES --only NAME]`: whether sampled figures are as sure as they say. Each program of
 * benchmarks/sampling_programs.py runs once under the exact tracker and 100 times sampled, with fixed seeds. Fails if an interval has the
 * exact figure in less than 90 % of the runs, if a line of 100 MB in a program of 500 MB is further off than 5 % in more than 5 % of them,
 * or if a figure of 10 MB or more is off by 1 % or more on average (and by more than chance explains).
 */
import { spawnSync } from 'node:child_process';
import { parseArgs } from 'node:util';
import { markdown } from './lib/benchmark-page.mjs';
import { PYTHON, at } from './lib/paths.mjs';
import { Failure, script } from './lib/process.mjs';
import { PEAK, judge, run } from './lib/sampling-proof.mjs';
import { setUp } from './lib/setup.mjs';

const LEAST_COVERED = 0.9;
const LARGE_PEAK = 500e6;
const LARGE_LINE = 100e6;
const LEAST_NEAR = 0.95;
const MOST_BIAS = 0.01;
/** Standard errors. */
const BY_CHANCE = 2;
/** The mean over 100 runs of a line with fewer samples is off by more by chance alone. */
const LEAST_FOR_BIAS = 10e6;

await script(async () => {
  const { values } = parseArgs({
    options: {
      rounds: { type: 'string', default: '100' },
      mean: { type: 'string', default: '32768' },
      only: { type: 'string', default: '' },
      seed: { type: 'string', default: '1' },
    },
  });
  const rounds = Math.max(1, Number(values.rounds));
  const meanBytes = Number(values.mean);
  await setUp();
  const listed = spawnSync(PYTHON, [at('benchmarks', 'sampling_programs.py'), '--list'], { encoding: 'utf8' });
  const programs = listed.stdout.split('\n').filter((name) => name !== '' && name.includes(values.only));
  if (programs.length === 0) {
    throw new Failure(`No program's name contains "${values.only}". They are in benchmarks/sampling_programs.py.`);
  }
  const wrong = [];
  for (const program of programs) {
    const exact = await run(program, 0);
    const runs = [];
    for (let round = 0; round < rounds; round += 1) {
      runs.push(await run(program, meanBytes, Number(values.seed) + round));
    }
    const peak = exact.get(PEAK)?.bytes ?? 0;
    const judged = judge(exact, runs, meanBytes, meanBytes);
    console.log(`\n${program}: one byte in ${meanBytes}, ${rounds} runs\n`);
    console.log(
      markdown([
        ['line', 'holds', 'in the interval', 'within 5 %', 'bias', 'spread', 'stated'],
        ...judged.map((each) => [
          each.name,
          `${(each.truth / 1e6).toFixed(1)} MB`,
          percent(each.covered / rounds, 0),
          percent(each.near / rounds, 0),
          `${percent(each.bias, 2)} ± ${percent(each.biasError, 2)}`,
          percent(each.spread, 2),
          percent(each.stated, 2),
        ]),
      ]),
    );
    for (const { name, truth, covered, near, bias, biasError } of judged) {
      const figure = `${program}, ${name}`;
      if (covered < LEAST_COVERED * rounds) {
        wrong.push(`${figure}: ${covered} of ${rounds} intervals have what it held.`);
      }
      if (peak >= LARGE_PEAK && truth >= LARGE_LINE && near < LEAST_NEAR * rounds) {
        wrong.push(`${figure}: ${near} of ${rounds} estimates are within 5 %.`);
      }
      if (truth >= LEAST_FOR_BIAS && Math.abs(bias) >= MOST_BIAS && Math.abs(bias) > BY_CHANCE * biasError) {
        wrong.push(`${figure}: a bias of ${percent(bias, 2)}.`);
      }
    }
  }
  console.log(wrong.length === 0 ? '\nAll figures are as sure as they say.' : `\n${wrong.join('\n')}`);
  process.exitCode = wrong.length === 0 ? 0 : 1;
});

/** @param {number} ratio @param {number} digits */
function percent(ratio, digits) {
  return `${(100 * ratio).toFixed(digits)} %`;
}

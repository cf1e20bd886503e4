/**
 * Steps that run only if something they depend on has changed: a step's stamp is a hash of the contents of its inputs, kept in
 * build/stamps. A second run with nothing changed only hashes.
 */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { alone } from './lock.mjs';
import { LOGS, ROOT, at, shown } from './paths.mjs';
import { Failure } from './process.mjs';

/**
 * @typedef {object} Step
 * @property {string} id file name of its stamp and log.
 * @property {string} title what it does, as shown to the user: "Installing ...".
 * @property {readonly string[]} inputs files and directories, relative to the repository; missing ones count as empty.
 * @property {readonly string[]} outputs what must exist afterwards, relative to the repository.
 * @property {() => readonly string[]} [facts] other things that the result depends on, such as versions.
 * @property {(log: string) => Promise<unknown>} run does the work, writing its output to the file `log`.
 */

const NOT_INPUTS = new Set(['node_modules', '__pycache__', '.ipynb_checkpoints', '_bundle', 'test-results']);

/** @param {string} absolute @returns {string[]} the files at or below a path, sorted */
export function filesBelow(absolute) {
  const info = statSync(absolute, { throwIfNoEntry: false });
  if (info === undefined) {
    return [];
  }
  if (!info.isDirectory()) {
    return [absolute];
  }
  return readdirSync(absolute)
    .filter((name) => !NOT_INPUTS.has(name))
    .sort()
    .flatMap((name) => filesBelow(path.join(absolute, name)));
}

/** @param {Pick<Step, 'inputs' | 'facts'>} step @param {string} [root] */
export function fingerprint(step, root = ROOT) {
  const hash = createHash('sha256');
  for (const input of step.inputs) {
    for (const file of filesBelow(path.join(root, input))) {
      const content = readFileSync(file);
      hash.update(`${path.relative(root, file)}\0${content.length}\0`).update(content);
    }
  }
  for (const fact of step.facts?.() ?? []) {
    hash.update(`${fact}\0`);
  }
  return hash.digest('hex');
}

/** @param {string} id */
const stampFile = (id) => at('build', 'stamps', id);

/** Whether the step's result stands already. @param {Step} step */
export function isDone(step) {
  const stamp = stampFile(step.id);
  return (
    step.outputs.every((output) => existsSync(at(output))) &&
    existsSync(stamp) &&
    readFileSync(stamp, 'utf8') === fingerprint(step)
  );
}

/**
 * Brings steps up to date in their order, saying what each does and how long it took. Other set-ups of this checkout wait.
 *
 * @param {readonly Step[]} steps
 * @throws {Failure} at the first that fails; the earlier ones stay done, the next run tries it again.
 */
export function performAll(steps) {
  return alone(async () => {
    for (const step of steps) {
      if (!isDone(step)) {
        await perform(step);
      }
    }
  });
}

/** @param {Step} step */
async function perform(step) {
  const before = fingerprint(step);
  const log = path.join(LOGS, `${step.id}.log`);
  rmSync(log, { force: true });
  rmSync(stampFile(step.id), { force: true });
  const started = performance.now();
  process.stdout.write(`${step.title} ... `);
  try {
    await step.run(log);
    const missing = step.outputs.filter((output) => !existsSync(at(output)));
    if (missing.length > 0) {
      throw new Failure(`the step ended without making ${missing.join(', ')}. Its output: ${shown(log)}`);
    }
  } catch (error) {
    process.stdout.write('failed\n');
    throw error;
  }
  mkdirSync(path.dirname(stampFile(step.id)), { recursive: true });
  // The hash from before: an input that changed meanwhile makes the step run again.
  writeFileSync(stampFile(step.id), before);
  process.stdout.write(`${((performance.now() - started) / 1000).toFixed(1)} s\n`);
}

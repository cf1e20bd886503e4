/** Runs other programs: their output goes to a log file, and a failure says which, why and what to do. */
import { spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readFileSync, writeSync } from 'node:fs';
import path from 'node:path';
import { ROOT, VENV, shown } from './paths.mjs';

/** A failure that is explained to the user; its message needs no stack trace. */
export class Failure extends Error {}

/** The environment of all programs: those of `.venv` first, no prompts, no update notices. */
export function environment(extra = {}) {
  const inherited = { ...process.env };
  // The Python of an active environment of the user's must not reach into ours.
  delete inherited.PYTHONHOME;
  delete inherited.PYTHONPATH;
  return {
    ...inherited,
    VIRTUAL_ENV: VENV,
    PATH: `${path.join(VENV, 'bin')}${path.delimiter}${process.env.PATH ?? ''}`,
    PIP_DISABLE_PIP_VERSION_CHECK: '1',
    PIP_ROOT_USER_ACTION: 'ignore',
    PIP_NO_INPUT: '1',
    npm_config_update_notifier: 'false',
    ...extra,
  };
}

/**
 * Runs a program to its end, appending what it prints to a log file.
 *
 * @param {string} command
 * @param {readonly string[]} args
 * @param {{ log: string, env?: Record<string, string>, cwd?: string, echo?: boolean, hint?: string, timeoutSeconds?: number,
 *   allowFailure?: boolean }} options `log`: absolute file name; `echo`: show the output too; `hint`: what to do if it fails.
 * @returns {Promise<number>} the exit code; 0 unless `allowFailure`.
 * @throws {Failure} if the program can't be started or fails, with the end of its output.
 */
export async function run(
  command,
  args,
  { log, env, cwd = ROOT, echo = false, hint, timeoutSeconds, allowFailure = false },
) {
  mkdirSync(path.dirname(log), { recursive: true });
  const file = openSync(log, 'a');
  const line = [command, ...args].join(' ');
  writeSync(file, `$ ${line}\n`);
  try {
    const code = await new Promise((resolve, reject) => {
      const child = spawn(command, args, {
        cwd,
        env: environment(env),
        stdio: ['ignore', echo ? 'pipe' : file, echo ? 'pipe' : file],
        ...(timeoutSeconds === undefined ? {} : { timeout: timeoutSeconds * 1000, killSignal: 'SIGKILL' }),
      });
      for (const [stream, shownAt] of /** @type {const} */ ([
        [child.stdout, process.stdout],
        [child.stderr, process.stderr],
      ])) {
        stream?.on('data', (chunk) => {
          writeSync(file, chunk);
          shownAt.write(chunk);
        });
      }
      child.on('error', reject);
      child.on('close', (status, signal) => {
        resolve(status ?? (signal === 'SIGKILL' && timeoutSeconds !== undefined ? 124 : 128));
      });
    });
    if (code !== 0 && !allowFailure) {
      throw new Failure(explain(line, `ended with status ${code}`, log, hint, echo));
    }
    return code;
  } catch (error) {
    if (error instanceof Failure) {
      throw error;
    }
    throw new Failure(
      explain(line, `could not be run: ${error instanceof Error ? error.message : error}`, log, hint, true),
    );
  } finally {
    closeSync(file);
  }
}

/**
 * @param {string} line @param {string} what @param {string} log @param {string | undefined} hint
 * @param {boolean} alreadyShown
 */
function explain(line, what, log, hint, alreadyShown) {
  const tail = alreadyShown ? '' : `\n${lastLines(log, 25).replaceAll(/^/gm, '    | ')}`;
  return `\`${shorten(line)}\` ${what}.${tail}\n  Its whole output: ${shown(log)}${hint === undefined ? '' : `\n  What to do: ${hint}`}`;
}

/** @param {string} text */
const shorten = (text) => (text.length > 200 ? `${text.slice(0, 200)}...` : text);

/** @param {string} file @param {number} count */
export function lastLines(file, count) {
  return readFileSync(file, 'utf8').trimEnd().split('\n').slice(-count).join('\n');
}

/**
 * Runs the main function of a script: explained failures are printed without a stack, the exit status is set.
 *
 * @param {() => Promise<number | void>} main its number is the exit status.
 */
export async function script(main) {
  try {
    process.exitCode = (await main()) ?? 0;
  } catch (error) {
    if (!(error instanceof Failure)) {
      throw error;
    }
    console.error(`\nFailed: ${error.message}`);
    process.exitCode = 1;
  }
}

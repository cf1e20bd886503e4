/** Measures what programs cost under several profilers, each measurement in a process of its own, in interleaved rounds. */
import { spawn } from 'node:child_process';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { BUNDLE, PYTHON, at } from './paths.mjs';
import { Failure, environment } from './process.mjs';

export const PEERS = at('.venv-peers');
export const PEER_PYTHON = path.join(PEERS, 'bin', 'python');
const MEASURE = at('benchmarks', 'measure.py');
const CURVES = at('benchmarks', 'curves.py');

/** Ours without and with tracking, the peers with it; `plain` is what all are divided by. */
export const MODES = /** @type {const} */ (['plain', 'off', 'on', 'old-fil', 'memray']);
/** Ours with a sample of what is allocated: one byte in 32 KiB, which is the default, and in 16 KiB. */
export const SAMPLED_MODES = /** @type {const} */ (['plain', 'sampled', 'sampled-fine']);
/** @typedef {typeof MODES[number] | typeof SAMPLED_MODES[number]} Mode */

/** Peers are far from 1, so fewer rounds tell enough about them. @param {Mode} mode */
export const isPeer = (mode) => mode === 'old-fil' || mode === 'memray';

/**
 * CPU seconds; resident memory with what the workload holds; of ours with tracking, what was tracked at the peak and the tracker's own
 * tables (0 without).
 *
 * @typedef {{ seconds: number, residentBytes: number, trackedBytes: number, ownBytes: number }} Cost
 */

/**
 * The cost of one workload under one mode.
 *
 * @param {Mode} mode @param {string} workload as measure.py takes it
 * @param {string} [python] another one than .venv's, for workloads that need its packages
 * @returns {Promise<Cost>}
 * @throws {Failure} if the process fails, or ours counted nothing.
 */
export async function measure(mode, workload, python = PYTHON) {
  const args = [MEASURE, mode, workload];
  switch (mode) {
    case 'plain':
      return cost(await collect(python, args));
    case 'off':
    case 'on':
    case 'sampled':
    case 'sampled-fine': {
      const { output, trackedBytes, ownBytes } = await ours(python, args, mode);
      return { ...cost(output), trackedBytes, ownBytes };
    }
    case 'old-fil':
      return cost(await collect(path.join(PEERS, 'bin', 'fil-profile'), ['--no-browser', 'python', ...args]));
    case 'memray':
      return cost(await collect(PEER_PYTHON, args));
  }
}

/**
 * Seconds an event at one point of a curve of curves.py.
 *
 * @param {'plain' | 'on'} mode @param {string} curve @param {number} count
 * @param {string} [python] another one than .venv's
 */
export async function measurePoint(mode, curve, count, python = PYTHON) {
  const args = [CURVES, mode, curve, String(count)];
  const output = mode === 'on' ? (await ours(python, args, mode)).output : await collect(python, args);
  return Number(lastLine(output).secondsPerEvent);
}

/**
 * A program with our tracker as the kernel starts it: preloaded, with a segment that the addon made.
 *
 * @param {string} python @param {string[]} args
 * @param {'off' | 'on' | 'sampled' | 'sampled-fine'} mode
 * @throws {Failure} if it has not counted what the mode is about.
 */
async function ours(python, args, mode) {
  const { output, snapshot } = await tracked(python, args, {
    isSampled: mode.startsWith('sampled'),
    env: python === PYTHON ? {} : { PYTHONPATH: at() },
  });
  const { peakBytes: trackedBytes, ownBytes, sampling } = snapshot;
  // Of little nothing may be sampled.
  const asExpected = mode.startsWith('sampled') ? sampling !== null : (mode === 'on') === trackedBytes > 0;
  if (!asExpected) {
    throw new Failure(`The tracker counted ${trackedBytes} bytes as "${mode}": it measured something else.`);
  }
  return { output, trackedBytes, ownBytes };
}

/**
 * Runs a program with our tracker preloaded.
 *
 * @param {string} python @param {string[]} args
 * @param {{ isSampled: boolean, seed?: number, env?: Record<string, string> }} options `seed`: of the samples.
 * @returns {Promise<{ output: string, snapshot: import('../../native/addon/index.js').Snapshot }>}
 */
export async function tracked(python, args, { isSampled, seed, env = {} }) {
  /** @type {typeof import('../../native/addon/index.js')} */
  const addon = createRequire(import.meta.url)(path.join(BUNDLE, 'filprofiler.node'));
  const names = addon.environmentNames;
  const segment = new addon.Segment();
  try {
    const output = await collect(python, args, segment.descriptor, {
      LD_PRELOAD: path.join(BUNDLE, 'libfil_tracker.so'),
      [names.segmentDescriptor]: '3',
      [names.parentPid]: String(process.pid),
      ...(isSampled ? { [names.sampling]: '1' } : {}),
      ...(seed === undefined ? {} : { [names.samplingSeed]: String(seed) }),
      ...env,
    });
    return { output, snapshot: segment.snapshot() };
  } finally {
    segment.close();
  }
}

/** @param {string} output */
const lastLine = (output) => JSON.parse(output.trim().split('\n').at(-1) ?? '{}');

/** @param {string} output of measure.py @returns {Cost} */
const cost = (output) => ({ trackedBytes: 0, ownBytes: 0, ...lastLine(output) });

/**
 * @param {string} command @param {readonly string[]} args
 * @param {number} [inherited] descriptor that the process gets as its number 3
 * @param {Record<string, string>} [env]
 * @returns {Promise<string>} standard output
 */
function collect(command, args, inherited, env = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      // Not the checkout: its filprofiler would hide the one of .venv-peers.
      cwd: tmpdir(),
      stdio: ['ignore', 'pipe', 'pipe', ...(inherited === undefined ? [] : [inherited])],
      // One order of sets and one number of threads for everybody.
      env: environment({ PYTHONHASHSEED: '0', OMP_NUM_THREADS: '1', OPENBLAS_NUM_THREADS: '1', ...env }),
    });
    let output = '';
    let errors = '';
    child.stdout?.on('data', (chunk) => (output += chunk));
    child.stderr?.on('data', (chunk) => (errors += chunk));
    child.on('error', reject);
    child.on('close', (code, signal) => {
      if (code === 0) {
        resolve(output);
      } else {
        reject(new Failure(`\`${command} ${args.join(' ')}\` ended with ${signal ?? code}.\n${errors.trimEnd()}`));
      }
    });
  });
}

/** @typedef {Partial<Record<Mode, Cost>>} Row the least of all rounds */

/**
 * @param {readonly string[]} workloads as measure.py takes them
 * @param {{ modes: readonly Mode[], rounds: number, peerRounds: number, python?: string, onMeasured: () => void }} options
 * @returns {Promise<Map<string, Row>>}
 */
export async function measureAll(workloads, { modes, rounds, peerRounds, python, onMeasured }) {
  /** @type {Map<string, Row>} */
  const table = new Map(workloads.map((workload) => [workload, {}]));
  for (let round = 0; round < rounds; round += 1) {
    for (const [workload, row] of table) {
      // Another first one each round: what the machine does at the time hits each mode alike.
      for (let offset = 0; offset < modes.length; offset += 1) {
        const mode = /** @type {Mode} */ (modes[(round + offset) % modes.length]);
        if (!isPeer(mode) || round < peerRounds) {
          const measured = await measure(mode, workload, python);
          const least = row[mode] ?? measured;
          row[mode] = {
            ...measured,
            seconds: Math.min(least.seconds, measured.seconds),
            residentBytes: Math.min(least.residentBytes, measured.residentBytes),
            ownBytes: Math.min(least.ownBytes, measured.ownBytes),
          };
          onMeasured();
        }
      }
    }
  }
  return table;
}

/** @param {readonly number[]} values */
export const geometricMean = (values) =>
  Math.exp(values.reduce((sum, value) => sum + Math.log(value), 0) / values.length);

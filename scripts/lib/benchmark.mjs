/** Measures CPU times of workloads under several profilers, in interleaved rounds. */
import { spawn } from 'node:child_process';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { BUNDLE, PYTHON, at } from './paths.mjs';
import { Failure, environment } from './process.mjs';

export const PEERS = at('.venv-peers');
const PEER_PYTHON = path.join(PEERS, 'bin', 'python');
const MEASURE = at('benchmarks', 'measure.py');

/** Ours without and with tracking, the peers with it; `plain` is what all are divided by. */
export const MODES = /** @type {const} */ (['plain', 'off', 'on', 'old-fil', 'memray']);
/** @typedef {typeof MODES[number]} Mode */

/** Peers are far from 1, so fewer rounds tell enough about them. @param {Mode} mode */
export const isPeer = (mode) => mode === 'old-fil' || mode === 'memray';

/**
 * CPU seconds of one workload under one mode, in a process of its own.
 *
 * @param {Mode} mode @param {string} workload
 * @returns {Promise<number>}
 * @throws {Failure} if the process fails, or ours counted nothing.
 */
export async function measure(mode, workload) {
  const args = [MEASURE, mode, workload];
  switch (mode) {
    case 'plain':
      return seconds(await collect(PYTHON, args));
    case 'off':
    case 'on':
      return measureOurs(mode, args);
    case 'old-fil':
      return seconds(await collect(path.join(PEERS, 'bin', 'fil-profile'), ['--no-browser', 'python', ...args]));
    case 'memray':
      return seconds(await collect(PEER_PYTHON, args));
  }
}

/** Our tracker as the kernel starts it: preloaded, with a segment that the addon made. @param {Mode} mode @param {string[]} args */
async function measureOurs(mode, args) {
  /** @type {typeof import('../../native/addon/index.js')} */
  const addon = createRequire(import.meta.url)(path.join(BUNDLE, 'filprofiler.node'));
  const segment = new addon.Segment();
  try {
    const output = await collect(PYTHON, args, segment.descriptor, {
      LD_PRELOAD: path.join(BUNDLE, 'libfil_tracker.so'),
      [addon.environmentNames.segmentDescriptor]: '3',
      [addon.environmentNames.parentPid]: String(process.pid),
    });
    const counters = segment.counters();
    if ((mode === 'on') !== counters.peakBytes > 0) {
      throw new Failure(
        `The tracker counted ${counters.peakBytes} bytes with tracking ${mode}: it measured something else.`,
      );
    }
    return seconds(output);
  } finally {
    segment.close();
  }
}

/** @param {string} output */
const seconds = (output) => Number(JSON.parse(output.trim().split('\n').at(-1) ?? '{}').seconds);

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

/** @typedef {Record<Mode, number>} Row CPU seconds, the least of all rounds */

/**
 * @param {readonly string[]} workloads
 * @param {{ rounds: number, peerRounds: number, onMeasured: () => void }} options
 * @returns {Promise<Map<string, Row>>}
 */
export async function measureAll(workloads, { rounds, peerRounds, onMeasured }) {
  /** @type {Map<string, Row>} */
  const table = new Map();
  for (let round = 0; round < rounds; round += 1) {
    for (const workload of workloads) {
      const row = table.get(workload) ?? {
        plain: Infinity,
        off: Infinity,
        on: Infinity,
        'old-fil': Infinity,
        memray: Infinity,
      };
      table.set(workload, row);
      // Another first one each round: what the machine does at the time hits each mode alike.
      for (let offset = 0; offset < MODES.length; offset += 1) {
        const mode = /** @type {Mode} */ (MODES[(round + offset) % MODES.length]);
        if (!isPeer(mode) || round < peerRounds) {
          row[mode] = Math.min(row[mode], await measure(mode, workload));
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

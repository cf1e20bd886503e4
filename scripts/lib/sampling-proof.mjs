/** Compares sampled runs of a program with what the exact tracker counts: how often intervals hold, how far off estimates are. */
import { REACH, intervalOf } from '../../build/ts/schema/sampling.js';
import { tracked } from './benchmark.mjs';
import { PYTHON, at } from './paths.mjs';

/** @import { Snapshot } from '../../native/addon/index.js' */

const PROGRAMS = at('benchmarks', 'sampling_programs.py');
const FILE = 'sampling_programs.py';

/**
 * What a line held at the peak, callees included; `sampledBytes` of it are estimated.
 *
 * @typedef {{ bytes: number, sampledBytes: number }} Held
 * @typedef {Map<string, Held>} Figures by line of the program; the peak by PEAK
 */
export const PEAK = 'the peak';

/** @param {Snapshot} snapshot @returns {Figures} */
export function figuresOf(snapshot) {
  const { parent, code, line, codes, peakSiteBytes } = snapshot;
  const sampled = snapshot.sampling?.peakSiteBytes;
  /** @type {Figures} */
  const figures = new Map([[PEAK, { bytes: 0, sampledBytes: 0 }]]);
  for (let site = 0; site < peakSiteBytes.length; site += 1) {
    const bytes = peakSiteBytes[site] ?? 0;
    const sampledBytes = sampled?.[site] ?? 0;
    const lines = new Set([PEAK]);
    for (let each = site; each > 0; each = parent[each] ?? 0) {
      const row = code[each] ?? 0;
      if (codes.filename[row]?.endsWith(FILE)) {
        lines.add(`line ${line[each]}`);
      }
    }
    for (const each of bytes === 0 && sampledBytes === 0 ? [] : lines) {
      const held = figures.get(each) ?? { bytes: 0, sampledBytes: 0 };
      figures.set(each, { bytes: held.bytes + bytes, sampledBytes: held.sampledBytes + sampledBytes });
    }
  }
  return figures;
}

/**
 * @param {string} program of benchmarks/sampling_programs.py @param {number} meanBytes 0 to count every allocation
 * @param {number} [seed]
 */
export async function run(program, meanBytes, seed = 1) {
  const { snapshot } = await tracked(PYTHON, [PROGRAMS, program, String(meanBytes)], {
    isSampled: meanBytes !== 0,
    seed,
  });
  if ((snapshot.sampling?.meanBytes ?? 0) !== meanBytes || snapshot.degradations.length > 0) {
    throw new Error(`"${program}" was not counted as it should be: ${snapshot.degradations.join(', ')}`);
  }
  return figuresOf(snapshot);
}

/**
 * How one figure came out.
 *
 * @typedef {object} Judged
 * @property {string} name
 * @property {number} truth bytes, by the exact tracker
 * @property {number} covered runs whose interval has it
 * @property {number} near runs in which the estimate is within 5 % of it
 * @property {number} bias mean of estimate / truth, less 1
 * @property {number} biasError standard error of that
 * @property {number} spread standard deviation of estimate / truth
 * @property {number} stated what the intervals say that it is, mean
 */

/**
 * @param {Figures} exact @param {readonly Figures[]} runs @param {number} meanBytes
 * @param {number} leastBytes lines that hold less are not looked at
 * @returns {Judged[]} the peak first, then the largest
 */
export function judge(exact, runs, meanBytes, leastBytes) {
  const sampling = { meanBytes, exactFromBytes: 0 };
  const names = [...exact].filter(([, { bytes }]) => bytes >= leastBytes).sort(([, a], [, b]) => b.bytes - a.bytes);
  return names.map(([name, { bytes: truth }]) => {
    const held = runs.map((figures) => figures.get(name) ?? { bytes: 0, sampledBytes: 0 });
    const intervals = held.map(({ bytes, sampledBytes }) => intervalOf(bytes, sampledBytes, sampling));
    const ratios = held.map(({ bytes }) => bytes / truth);
    const mean = sum(ratios) / runs.length;
    const spread = Math.sqrt(sum(ratios.map((ratio) => (ratio - mean) ** 2)) / Math.max(1, runs.length - 1));
    return {
      name,
      truth,
      covered: intervals.filter(({ lowBytes, highBytes }) => lowBytes <= truth && truth <= highBytes).length,
      near: ratios.filter((ratio) => Math.abs(ratio - 1) <= 0.05).length,
      bias: mean - 1,
      biasError: spread / Math.sqrt(runs.length),
      spread,
      stated: sum(intervals.map(({ lowBytes, highBytes }) => (highBytes - lowBytes) / 2 / REACH / truth)) / runs.length,
    };
  });
}

/** @param {readonly number[]} values */
const sum = (values) => values.reduce((all, value) => all + value, 0);

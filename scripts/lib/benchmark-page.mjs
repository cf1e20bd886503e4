/** The tables of `npm run bench` and the page that it writes of them. */
import { MODES, SAMPLED_MODES, geometricMean } from './benchmark.mjs';

/** @import { Row } from './benchmark.mjs' */

/** @typedef {{ measuredAt: string, machine: { processor: string, cores: number } }} Circumstances */
/** @typedef {{ rounds: number, peerRounds: number, rows: Record<string, Row> }} Measured */
/** @typedef {Measured & { memory: Record<string, Row> }} Sampled */
/** @typedef {{ rounds: number, curves: Record<string, { count: number, plain: number, on: number }[]> }} Curves seconds an event */
/**
 * @typedef {{ times?: Measured & Circumstances, memory?: Measured & Circumstances, curves?: Curves & Circumstances,
 *   sampling?: Sampled & Circumstances, pyperformance?: Measured & Circumstances }} Results
 */

const COLUMNS = /** @type {const} */ ({
  off: 'Fil, not tracking',
  on: 'Fil, tracking',
  'old-fil': 'Fil 2024.11.2',
  memray: 'memray 1.20',
  sampled: 'one byte in 32 KiB',
  'sampled-fine': 'one byte in 16 KiB',
});

/** @param {string[][]} rows the first is the heading */
export function markdown(rows) {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  const lines = rows.map((row) => {
    const cells = row.map((cell, column) =>
      column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0),
    );
    return `| ${cells.join(' | ')} |`;
  });
  const rule = `| ${widths.map((width, column) => (column === 0 ? '-'.repeat(width) : `${'-'.repeat(width - 1)}:`)).join(' | ')} |`;
  return [lines[0], rule, ...lines.slice(1)].join('\n');
}

/** @param {number} value */
const ratio = (value) => value.toFixed(2);
/** @param {number} bytes */
const mebibytes = (bytes) => `${(bytes / 1048576).toFixed(0)} MiB`;

/** The modes beside plain that were measured. @param {Record<string, Row>} rows */
const measuredModes = (rows) =>
  [...MODES, ...SAMPLED_MODES].flatMap((mode) =>
    mode !== 'plain' && Object.values(rows).every((row) => row[mode] !== undefined) ? [mode] : [],
  );

/** CPU times as ratios to plain Python. @param {Record<string, Row>} rows */
export function timesTable(rows) {
  const modes = measuredModes(rows);
  /** @param {Row} row @param {typeof modes[number]} mode */
  const of = (row, mode) => (row[mode]?.seconds ?? NaN) / (row.plain?.seconds ?? NaN);
  return markdown([
    ['workload', 'plain Python', ...modes.map((mode) => COLUMNS[mode])],
    ...Object.entries(rows).map(([name, row]) => [
      name,
      `${ratio(row.plain?.seconds ?? NaN)} s`,
      ...modes.map((mode) => ratio(of(row, mode))),
    ]),
    [
      'geometric mean',
      '',
      ...modes.map((mode) => ratio(geometricMean(Object.values(rows).map((row) => of(row, mode))))),
    ],
  ]);
}

/** Resident memory, and what each adds to plain Python's. @param {Record<string, Row>} rows */
export function memoryTable(rows) {
  const modes = measuredModes(rows);
  const tracked = Object.values(rows).every(({ on }) => on !== undefined);
  return markdown([
    [
      'what is in memory',
      'plain Python',
      ...modes.map((mode) => COLUMNS[mode]),
      ...(tracked ? ["Fil's own tables"] : []),
    ],
    ...Object.entries(rows).map(([name, row]) => {
      const plain = row.plain?.residentBytes ?? NaN;
      const added = modes.map((mode) => {
        const more = (row[mode]?.residentBytes ?? NaN) - plain;
        return `+${mebibytes(more)} (${((more / plain) * 100).toFixed(0)} %)`;
      });
      const { ownBytes = NaN, trackedBytes = NaN } = row.on ?? {};
      const tables = `${mebibytes(ownBytes)} (${((ownBytes / trackedBytes) * 100).toFixed(1)} % of what is tracked)`;
      return [name, mebibytes(plain), ...added, ...(tracked ? [tables] : [])];
    }),
  ]);
}

/** @param {Curves['curves']} curves */
export function curvesTable(curves) {
  /** @param {number} count */
  const shown = (count) => (count < 1e4 ? String(count) : `10^${Math.log10(count).toFixed(0)}`);
  /** @param {string} name @param {string} title */
  const cost = (name, title) =>
    markdown([
      [title, ...(curves[name] ?? []).map(({ count }) => shown(count))],
      ['plain, ns an event', ...(curves[name] ?? []).map(({ plain }) => (plain * 1e9).toFixed(0))],
      ['added by tracking, ns', ...(curves[name] ?? []).map(({ plain, on }) => ((on - plain) * 1e9).toFixed(0))],
    ]);
  const threads = curves['threads_with_gil'] ?? [];
  const rows = /** @type {const} */ ([
    ['threads_with_gil', 'Python threads, tracked to plain'],
    ['threads_without_gil', 'threads of a C library, tracked to plain'],
  ]);
  return [
    cost('events', 'events in the session'),
    cost('sites', 'call sites'),
    markdown([
      ['throughput by threads', ...threads.map(({ count }) => shown(count))],
      ...rows.map(([name, title]) => [title, ...(curves[name] ?? []).map(({ plain, on }) => ratio(plain / on))]),
    ]),
  ].join('\n\n');
}

/** @param {Results} results @returns {string} docs/benchmarks.md */
export function page({ times, memory, curves, sampling, pyperformance }) {
  /** @param {Circumstances} result */
  const when = ({ measuredAt, machine }) =>
    `Measured on ${measuredAt.slice(0, 10)}, on ${machine.cores} cores of ${machine.processor}.`;
  const parts = ['# Benchmarks', 'Written by `npm run bench -- all --write`; each part can be run alone, as below.'];
  if (times !== undefined) {
    parts.push(
      '## Time',
      `\`npm run bench -- times\`. ${when(times)}`,
      timesTable(times.rows),
      `CPU time (user and system, all threads) of the workload as a ratio to plain Python; less is better. Each measurement is a process of its own, in turns; the figure is the least of ${times.rounds} rounds, of ${times.peerRounds} for the other profilers. All have imported the same modules and collected garbage before the time starts. What a profiler does before and after the workload, such as writing its report, is not counted. memray runs with \`trace_python_allocators=True\`, as Fil counts Python's own objects too.`,
      'The workloads are in `benchmarks/workloads.py`.',
    );
  }
  if (memory !== undefined) {
    parts.push(
      '## Memory',
      `\`npm run bench -- memory\`. ${when(memory)}`,
      memoryTable(memory.rows),
      'Resident memory of the process while it holds what the row says, and what a profiler adds to it. The last column is what the tracker says of itself at the end of the session, as in reports. memray keeps its events in a file beside it, which does not count here.',
    );
  }
  if (curves !== undefined) {
    parts.push(
      '## What it depends on',
      `\`npm run bench -- curves\`. ${when(curves)} The least of ${curves.rounds} rounds.`,
      'An object that is made and given back is two events. What tracking adds to one, over the number of events in the session and over the number of call sites that allocate in turn:',
      '![CPU time of an event over the number of events](images/cost-by-events.svg)',
      '![CPU time of an event over the number of call sites](images/cost-by-call-sites.svg)',
      'Events a second of threads that do nothing but allocate, on this machine. Those of Python take turns by the GIL; those of a C library do not, and take turns by the lock of the tracker, which keeps the order of events exact.',
      '![Events a second over the number of threads](images/throughput-by-threads.svg)',
      curvesTable(curves.curves),
    );
  }
  if (sampling !== undefined) {
    parts.push(
      '## Sampling',
      `\`npm run bench -- sampling\`. ${when(sampling)} The least CPU time of ${sampling.rounds} rounds, as above, of sampled sessions as \`fil-profile run --sample\` has them.`,
      timesTable(sampling.rows),
      'Resident memory of the process, and what sampling adds to it:',
      memoryTable(sampling.memory),
    );
  }
  if (pyperformance !== undefined) {
    parts.push(
      '## pyperformance',
      `\`npm run bench -- pyperformance\`. ${when(pyperformance)} The least CPU time of ${pyperformance.rounds} rounds. Of [pyperformance](https://pyperformance.readthedocs.io/) those benchmarks that need no further packages and no processes of their own.`,
      timesTable(pyperformance.rows),
    );
  }
  return `${parts.join('\n\n')}\n`;
}

/** Parts of the page that commands of their own write, in this order behind what `npm run bench` does. */
const OTHER_PARTS = /** @type {const} */ (['kernel', 'lab']);

/** @param {string} name */
const mark = (name) => `<!-- ${name} -->`;

/** The parts that others write, as they stand. @param {string} text of the page @returns {string} */
export function otherParts(text) {
  const starts = OTHER_PARTS.map((name) => text.indexOf(mark(name))).filter((start) => start >= 0);
  return starts.length === 0 ? '' : `\n${text.slice(Math.min(...starts))}`;
}

/** The page with another such part. @param {string} text of the page @param {typeof OTHER_PARTS[number]} name @param {string} part */
export function withPart(text, name, part) {
  const others = otherParts(text);
  const own = text.slice(0, text.length - Math.max(0, others.length - 1)).trimEnd();
  const parts = OTHER_PARTS.flatMap((other) => {
    const [, from] = others.split(`${mark(other)}\n`);
    const content = other === name ? part : from?.split('<!-- ')[0]?.trim();
    return content === undefined ? [] : [`${mark(other)}\n\n${content}`];
  });
  return `${[own, ...parts].join('\n\n')}\n`;
}

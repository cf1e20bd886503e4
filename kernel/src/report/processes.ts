/** From the columns of several processes to those of one: each process is a frame below the root. */
import { at } from '../../../schema/columns.js';
import { processFrameName } from '../../../schema/tree/of-process.js';
import type { Snapshot } from './snapshot.js';

/** A process's part in the joint peak. */
export interface ProcessPart {
  readonly pid: number;
  readonly name: string;
  readonly command: string;
  readonly snapshot: Snapshot;
  /** What its sites held at the joint peak. */
  readonly siteBytes: Float64Array;
}

const NO_CODE = 0xffffffff;
/** Options of Python's that take a value. */
const OPTIONS_WITH_VALUE = new Set(['-W', '-X', '--check-hash-based-pycs']);

/** What to call a process: its script, its module, what multiprocessing started it for, or the program. */
export function processName(command: readonly string[], isForked: boolean): string {
  const [program = '', ...words] = command;
  const base = lastPart(program);
  const name = /^python[\d.]*$/.test(base) ? pythonName(base, words) : base || 'process';
  return isForked ? `${name} (forked)` : name;
}

function pythonName(base: string, words: readonly string[]): string {
  for (let index = 0; index < words.length; index++) {
    const word = words[index] ?? '';
    if (word === '-c') {
      const code = words[index + 1] ?? '';
      const helper = /^from multiprocessing\.(\w+) import/.exec(code)?.[1];
      return helper === undefined
        ? `${base} -c`
        : helper === 'spawn'
          ? 'multiprocessing worker'
          : `multiprocessing ${helper}`;
    }
    if (word === '-m') {
      return words[index + 1] ?? base;
    }
    if (OPTIONS_WITH_VALUE.has(word)) {
      index++;
    } else if (!word.startsWith('-')) {
      return word.endsWith('/filprofiler/child.py') ? 'notebook' : lastPart(word);
    }
  }
  return base;
}

function lastPart(path: string): string {
  return path.split('/').at(-1) ?? path;
}

/** Shared memory that several processes have mapped counts once: for the one that has most of it, which is the first of those. */
function withoutSharedTwice(parts: readonly ProcessPart[]): readonly Float64Array[] {
  const columns = parts.map(({ siteBytes }) => Float64Array.from(siteBytes, (bytes) => Math.max(0, bytes)));
  const columnOf = (part: number): Float64Array => columns[part] ?? new Float64Array();
  const holders = new Map<string, { part: number; sites: number[]; bytes: number }[]>();
  parts.forEach(({ snapshot }, part) => {
    const ofPart = new Map<string, { part: number; sites: number[]; bytes: number }>();
    for (let site = 0; site < snapshot.code.length; site++) {
      const code = at(snapshot.code, site);
      const bytes = at(columnOf(part), site);
      if (bytes === 0 || code >= snapshot.codes.kind.length || at(snapshot.codes.kind, code) !== 'shared-memory') {
        continue;
      }
      const name = at(snapshot.codes.filename, code);
      if (name === '') {
        // Without a name nobody else can map it.
        continue;
      }
      // Several can have the same name, as memfds do.
      const object = `${at(snapshot.codes.firstLine, code)} ${name}`;
      const holder = ofPart.get(object) ?? { part, sites: [], bytes: 0 };
      holder.sites.push(site);
      holder.bytes += bytes;
      ofPart.set(object, holder);
    }
    for (const [object, holder] of ofPart) {
      holders.set(object, [...(holders.get(object) ?? []), holder]);
    }
  });
  for (const all of holders.values()) {
    const most = all.reduce((best, holder) => (holder.bytes > best.bytes ? holder : best));
    for (const holder of all) {
      if (holder !== most) {
        for (const site of holder.sites) {
          columnOf(holder.part)[site] = 0;
        }
      }
    }
  }
  return columns;
}

/**
 * One snapshot of several processes. Its root's callees are the processes, frames of the kind `process`, below which stand their call
 * stacks.
 *
 * @param parts with the top process first, whose remarks are the result's.
 */
export function joinSnapshots(parts: readonly ProcessPart[]): Snapshot {
  const columns = withoutSharedTwice(parts);
  const size = 1 + parts.reduce((sites, { snapshot }) => sites + Math.max(1, snapshot.parent.length), 0);
  const parent = new Uint32Array(size);
  const code = new Uint32Array(size).fill(NO_CODE);
  const line = new Int32Array(size);
  const peakSiteBytes = new Float64Array(size);
  const currentSiteBytes = new Float64Array(size);
  const filename: string[] = [];
  const qualifiedName: string[] = [];
  const firstLine: number[] = [];
  const kind: Snapshot['codes']['kind'][number][] = [];
  let next = 1;
  parts.forEach(({ pid, name, command, snapshot }, nth) => {
    const bytes = columns[nth] ?? new Float64Array();
    const base = next;
    code[base] = filename.length;
    filename.push(command);
    qualifiedName.push(processFrameName({ name, pid }));
    firstLine.push(0);
    kind.push('process');
    const firstCode = filename.length;
    append(filename, snapshot.codes.filename);
    append(qualifiedName, snapshot.codes.qualifiedName);
    append(firstLine, snapshot.codes.firstLine);
    append(kind, snapshot.codes.kind);
    // The process's root becomes the frame of the process.
    const sites = Math.max(1, snapshot.parent.length);
    for (let site = 0; site < sites; site++) {
      const row = base + site;
      parent[row] = site === 0 ? 0 : base + at(snapshot.parent, site);
      if (site > 0 && at(snapshot.code, site) !== NO_CODE) {
        code[row] = firstCode + at(snapshot.code, site);
      }
      line[row] = site === 0 ? 0 : at(snapshot.line, site);
      peakSiteBytes[row] = bytes[site] ?? 0;
      currentSiteBytes[row] = snapshot.currentSiteBytes[site] ?? 0;
    }
    next += sites;
  });
  const [first] = parts;
  return {
    parent,
    code,
    line,
    peakSiteBytes,
    currentSiteBytes,
    codes: { filename, qualifiedName, firstLine: Int32Array.from(firstLine), kind },
    failure: null,
    sampling: null,
    degradations: [...new Set(parts.flatMap(({ snapshot }) => snapshot.degradations))],
    consistent: parts.every(({ snapshot }) => snapshot.consistent),
    mostUntouchedBytes: first?.snapshot.mostUntouchedBytes ?? 0,
  };
}

/** As `push` with so many arguments overflows the stack. */
function append<T>(to: T[], from: Iterable<T>): void {
  for (const each of from) {
    to.push(each);
  }
}

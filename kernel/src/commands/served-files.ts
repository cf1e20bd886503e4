/** Which files `fil-profile serve` gives out: those of reports, and nothing else that may lie in the directory. */
import { existsSync, readdirSync, readFileSync, realpathSync, statSync } from 'node:fs';
import { extname, join, sep } from 'node:path';
import { REPORT_JSON, REPORT_PAGE, STEMS } from '../output/files.js';

const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.prof': 'text/plain; charset=utf-8',
  '.json': 'application/json',
};

/** Names of a report's files, in the order in which they are listed. */
const NAMES: readonly string[] = [
  REPORT_PAGE,
  ...Object.values(STEMS).flatMap((stem) => [`${stem}.svg`, `${stem}-reversed.svg`, `${stem}.prof`]),
  REPORT_JSON,
];

/** Deeper directories are not looked into; `fil-result/<time>` of several projects is three levels. */
const DEEPEST = 3;
const MOST_REPORTS = 1_000;

export interface ListedReport {
  /** Of its directory, from the served one; empty for that itself. */
  readonly path: string;
  readonly files: readonly string[];
  readonly writtenAt: Date;
}

/** The reports in a directory and below it, the latest first. */
export function reportsBelow(directory: string): ListedReport[] {
  const found: ListedReport[] = [];
  const pending = [{ path: '', depth: 0 }];
  for (let next = pending.shift(); next !== undefined && found.length < MOST_REPORTS; next = pending.shift()) {
    const absolute = join(directory, next.path);
    const files = NAMES.filter((name) => existsSync(join(absolute, name)));
    if (files.includes(REPORT_PAGE)) {
      found.push({ path: next.path, files, writtenAt: statSync(join(absolute, REPORT_PAGE)).mtime });
    }
    if (next.depth < DEEPEST) {
      pending.push(...directoriesIn(absolute).map((name) => ({ path: join(next.path, name), depth: next.depth + 1 })));
    }
  }
  return found.sort((a, b) => b.writtenAt.getTime() - a.writtenAt.getTime());
}

function directoriesIn(directory: string): string[] {
  try {
    return readdirSync(directory, { withFileTypes: true })
      .filter((entry) => entry.isDirectory() && !entry.name.startsWith('.') && entry.name !== 'node_modules')
      .map(({ name }) => name);
  } catch {
    return [];
  }
}

export interface ServedFile {
  readonly type: string;
  pieces(): Iterable<Uint8Array>;
}

/**
 * The file of a report that an address names; null if there is none, or it lies outside the directory.
 *
 * @param pathname of the address, still encoded.
 */
export function openServedFile(directory: string, pathname: string): ServedFile | null {
  let decoded: string;
  try {
    decoded = pathname.split('/').map(decodeURIComponent).join('/');
  } catch {
    return null;
  }
  const parts = decoded.split('/').filter((part) => part !== '');
  const name = parts.at(-1) ?? '';
  if (!NAMES.includes(name) || decoded.includes('\0')) {
    return null;
  }
  const root = realpathSync(directory);
  let file: string;
  try {
    file = realpathSync(join(root, ...parts));
  } catch {
    return null;
  }
  // After following links: one that leads elsewhere is no report of this directory.
  if (!file.startsWith(root.endsWith(sep) ? root : root + sep) || !statSync(file).isFile()) {
    return null;
  }
  return {
    type: TYPES[extname(name)] ?? 'application/octet-stream',
    pieces: () => [readFileSync(file)],
  };
}

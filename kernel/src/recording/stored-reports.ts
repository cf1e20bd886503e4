/**
 * The reports of jobs in a directory: their names, and how many of them stay. Only directories with such names are ever removed.
 */
import { lstatSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Job } from '../../../schema/report.js';
import type { Settings } from './settings.js';

/** Why a report is made. `replaced`: the process has become another program. */
export const REASONS = ['exit', 'died', 'replaced', 'signal', 'timer'] as const;
export type Reason = (typeof REASONS)[number];

/** At the end of a name while the report is being written. */
export const PART = '.part';
/** After an hour nobody is writing it any more. */
const OLD_PART_MILLISECONDS = 3_600_000;
const LONGEST_NAME = 60;

/** Local time, job, pid, reason. */
const NAME = /^(\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d_\d{3})_(.+)_(\d+)_(exit|died|replaced|signal|timer)(?:-\d+)?(\.part)?$/;

/** What stands behind the time in the name of a report's directory. */
export function suffixOf({ name, pid }: Pick<Job, 'name' | 'pid'>, reason: Reason): string {
  return `_${fileName(name)}_${pid}_${reason}`;
}

/** A name without what file systems, shells and readers of file names mind. */
function fileName(name: string): string {
  return (
    name
      .replace(/[^\w.+-]/g, '-')
      .replace(/^[.-]+/, '')
      .slice(0, LONGEST_NAME) || 'job'
  );
}

interface Stored {
  readonly path: string;
  readonly time: string;
  readonly job: string;
  readonly pid: string;
  readonly reason: string;
  readonly bytes: number;
}

/** Removes what is too much: older reports on a timer of the same process, then the oldest of all. The newest always stays. */
export function keepWithinBounds(output: string, { keep, diskBytes }: Settings, job: Pick<Job, 'name' | 'pid'>): void {
  let reports = storedIn(output);
  const remove = (gone: readonly Stored[]): void => {
    for (const { path } of gone) {
      rmSync(path, { recursive: true, force: true });
    }
    reports = reports.filter((each) => !gone.includes(each));
  };
  const onTimer = reports.filter(
    (each) => each.reason === 'timer' && each.pid === String(job.pid) && each.job === fileName(job.name),
  );
  remove(onTimer.slice(0, Math.max(0, onTimer.length - keep)));
  let bytes = reports.reduce((sum, each) => sum + each.bytes, 0);
  const tooMany: Stored[] = [];
  for (const each of reports.slice(0, -1)) {
    if (bytes <= diskBytes) {
      break;
    }
    tooMany.push(each);
    bytes -= each.bytes;
  }
  remove(tooMany);
}

/** The oldest first. What nobody finished is removed. */
function storedIn(output: string): Stored[] {
  const reports: Stored[] = [];
  for (const entry of readdirSync(output, { withFileTypes: true })) {
    const match = NAME.exec(entry.name);
    if (match === null || !entry.isDirectory()) {
      continue;
    }
    const path = join(output, entry.name);
    const [, time = '', job = '', pid = '', reason = '', part] = match;
    if (part === undefined) {
      reports.push({ path, time, job, pid, reason, bytes: sizeOf(path) });
    } else if (Date.now() - lstatSync(path).mtimeMs > OLD_PART_MILLISECONDS) {
      rmSync(path, { recursive: true, force: true });
    }
  }
  return reports.sort((a, b) => (a.time < b.time ? -1 : a.time > b.time ? 1 : 0));
}

/** Another process may be removing it. */
function sizeOf(directory: string): number {
  try {
    return readdirSync(directory).reduce((sum, name) => sum + lstatSync(join(directory, name)).size, 0);
  } catch {
    return 0;
  }
}

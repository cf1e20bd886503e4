/**
 * `fil record`: writes one report of a job that is profiled without a parent of ours. The job's recorder (native/tracker/production/)
 * starts it; whatever it writes to stdout is the one line that the job's log gets if it fails.
 */
import { renameSync, rmSync } from 'node:fs';
import { hostname } from 'node:os';
import { basename, join, resolve } from 'node:path';
import type { Job, Report, ReportOutcome } from '../../../schema/report.js';
import { loadAddon, type Segment, type Snapshot } from '../addon.js';
import { makeReportDirectory } from '../launcher/report-directory.js';
import { memoryLimit } from '../memory-limit.js';
import { writeReportFiles } from '../output/files.js';
import { ReportSource } from '../report/build.js';
import { residentOf } from '../resident.js';
import { VERSION } from '../version.js';
import { jobOf, settingsOf } from './settings.js';
import { keepWithinBounds, PART, type Reason, suffixOf } from './stored-reports.js';

export interface RecordOptions {
  /** File of the segment. */
  readonly segment: string;
  readonly pid: number;
  readonly reason: Reason;
  /** Exit status of the job, where the reason is its exit. */
  readonly status: number;
  /** When the job began, seconds of the epoch. */
  readonly started: number;
  /** Its command line, with unit separators between the arguments. */
  readonly command: string;
}

/** @throws {Error} with a sentence, if the report could not be written. */
export function record(options: RecordOptions, environment: NodeJS.ProcessEnv): void {
  const settings = settingsOf(environment);
  const command = options.command.split('\u001f').filter((part, index, all) => part !== '' || index < all.length - 1);
  const job = jobOf(environment, { command, host: hostname(), pid: options.pid });
  const segment = new (loadAddon().Segment)(options.segment, true);
  const snapshot = segment.snapshot();
  const points = segment.points();
  const source = ReportSource.ofSnapshot(snapshot, {
    subject: { kind: 'program', command },
    title: job.name,
    outcome: outcomeOf(options),
    cells: new Map(),
    workingDirectory: process.cwd(),
    residentBeforeBytes: null,
    resident: residentOf(options.pid),
    memoryLimit: memoryLimit(),
    observed: undefined,
    outOfMemory: undefined,
    job,
    startedAt: new Date(options.started * 1000),
    durationSeconds: durationOf(snapshot),
    timeline: timelineOf(points),
    producer: { name: 'filprofiler', version: VERSION, python: snapshot.pythonVersion },
  });
  const output = resolve(settings.output);
  write(output, source, job, options.reason);
  keepWithinBounds(output, settings, job);
}

/** Under a name that no reader takes for a report until it is complete. */
function write(output: string, source: ReportSource, job: Job, reason: Reason): void {
  const part = makeReportDirectory(output, new Date(), undefined, `${suffixOf(job, reason)}${PART}`);
  const { files, problems } = writeReportFiles(part, source);
  if (problems.length > 0) {
    rmSync(part, { recursive: true, force: true });
    throw new Error(problems[0] ?? `no file of ${files.length} could be written`);
  }
  renameSync(part, join(output, basename(part).slice(0, -PART.length)));
}

/** Of a job that ended before the second point only its beginning is known, which would look like its peak. */
function timelineOf({ secondsApart, bytes }: ReturnType<Segment['points']>): Report['timeline'] {
  return bytes.length < 2
    ? { seconds: [], bytes: [] }
    : { seconds: Array.from(bytes, (_, index) => index * secondsApart), bytes: Array.from(bytes) };
}

/** Of a file that a process left the segment knows no end where nobody has told it one: then it is now, by the same clock. */
function durationOf({ beganAtSeconds, endedAtSeconds }: Snapshot): number {
  const until = endedAtSeconds > beganAtSeconds ? endedAtSeconds : Number(process.hrtime.bigint()) / 1e9;
  return Math.max(0, until - beganAtSeconds);
}

function outcomeOf({ reason, status }: RecordOptions): ReportOutcome {
  switch (reason) {
    case 'exit':
      return status === 0 ? { kind: 'completed' } : { kind: 'error' };
    case 'died':
      return { kind: 'died', exitCode: null, signal: null };
    case 'replaced':
      return { kind: 'completed' };
    case 'signal':
    case 'timer':
      return { kind: 'running' };
  }
}

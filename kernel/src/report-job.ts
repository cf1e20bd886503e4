/**
 * Making a report's outputs. A large one takes up to a second, in which nothing would be forwarded and no interrupt would pass: it is
 * made in a worker thread.
 */
import { Worker, parentPort, workerData } from 'node:worker_threads';
import type { Snapshot } from './addon.js';
import { toMimeBundle } from './output/bundle.js';
import { topLinesText } from './output/text.js';
import { writeReportFiles } from './output/files.js';
import { type ReportContext, ReportSource } from './report/build.js';
import { joinSnapshots, type ProcessPart } from './report/processes.js';
import { FOR_NOTEBOOKS } from './report/prune.js';

export interface ReportJob {
  readonly snapshot: Snapshot;
  /** Of all processes, if there were several: the report is of them together. */
  readonly parts?: readonly ProcessPart[];
  readonly context: ReportContext;
  /** Where to write the report's files: an existing directory, absolute; null for none. */
  readonly outputDirectory: string | null;
}

export interface ReportOutput {
  /** MIME type to data, as in Jupyter's `display_data`. */
  readonly bundle: Record<string, unknown>;
  readonly peakBytes: number;
  /** The lines that held most, in words. */
  readonly topLines: readonly string[];
  /** Files that were written, absolute. */
  readonly files: string[];
  /** Why they were not; null if all is well. */
  readonly filesProblem: string | null;
}

/** Below this, a report takes less than about 0.1 s, and a worker's start alone 0.05 s. Measured: 2 s per million call sites. */
const SITES_FOR_A_WORKER = 30_000;

const MOST_TOP_LINES = 5;

/** Makes the outputs, here or in a worker thread. */
export function perform(job: ReportJob): Promise<ReportOutput> {
  const sites = (job.parts ?? []).reduce((sum, { snapshot }) => sum + snapshot.parent.length, job.snapshot.siteCount);
  return sites < SITES_FOR_A_WORKER ? Promise.resolve(make(job)) : makeInWorker(job);
}

/** To be run by the program if it is the worker. */
export function serveAsWorker(): void {
  // It was made by makeInWorker below, of the same program.
  parentPort?.postMessage(make(workerData as ReportJob));
}

function make({ snapshot, parts = [], context, outputDirectory }: ReportJob): ReportOutput {
  const source = ReportSource.ofSnapshot(parts.length > 0 ? joinSnapshots(parts) : snapshot, context);
  const report = source.report(FOR_NOTEBOOKS);
  const made = {
    bundle: toMimeBundle(report),
    peakBytes: report.peakBytes,
    topLines: topLinesText(report, MOST_TOP_LINES),
  };
  if (outputDirectory === null) {
    return { ...made, files: [], filesProblem: null };
  }
  const moment = report.outOfMemory === undefined ? 'peak' : 'out-of-memory';
  const { files, problems } = writeReportFiles(outputDirectory, source, { moment });
  return { ...made, files, filesProblem: problems.length === 0 ? null : problems.join('; ') };
}

function makeInWorker(job: ReportJob): Promise<ReportOutput> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(__filename, { workerData: job });
    worker.once('message', resolve);
    worker.once('error', reject);
    worker.once('exit', (code) => {
      // Without effect after a message or an error.
      reject(new Error(`The thread that makes the report ended with status ${code}.`));
    });
  });
}

/**
 * `fil-profile recover`: makes the reports of programs that were killed together with Fil, from the state that they left on disk. It can
 * come from anywhere: everything in it is checked, and nothing of it is executed.
 */
import { existsSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type * as z from 'zod/mini';
import { reasonInWords } from '../../../schema/out-of-memory.js';
import { loadAddon, type Segment } from '../addon.js';
import { reasonOf } from '../failure.js';
import { Begun, BEGUN_FILE, isState, Latest, LATEST_FILE, SEGMENT_FILE, STATE_FORMAT } from '../kept-state.js';
import { makeReportDirectory, removeIfEmpty } from '../launcher/report-directory.js';
import { causeIfKilled } from '../memory-matters.js';
import { REPORT_PAGE } from '../output/files.js';
import { atMoment } from '../report/moment.js';
import { perform, type ReportOutput } from '../report-job.js';
import { VERSION } from '../version.js';
import { CommandFailure } from './failure.js';
import { tell, writeOut } from './say.js';

export interface RecoverOptions {
  /** Below which reports are written. */
  readonly output: string;
  /** State of which a report was made is removed. */
  readonly remove?: true;
}

/** Both files of JSON are smaller, but for the sources of a very long notebook. */
const LARGEST_JSON_BYTES = 256 * 1024 * 1024;

/** @throws {CommandFailure} if nothing was recovered, or something could not be. */
export async function runRecover(path: string, options: RecoverOptions): Promise<void> {
  const directories = statesIn(path);
  let recovered = 0;
  let failed = 0;
  for (const directory of directories) {
    try {
      const passedOver = whyPassedOver(directory);
      if (passedOver === null) {
        await recover(directory, options);
        recovered += 1;
      } else {
        tell(`${directory} ${passedOver}`);
      }
    } catch (error) {
      failed += 1;
      // Of several: what is wrong with one must not hide the others.
      tell(error instanceof CommandFailure ? error.message : `${directory} can't be recovered: ${reasonOf(error)}`);
    }
  }
  if (failed > 0 || recovered === 0) {
    throw new CommandFailure(`${recovered} of ${directories.length} were recovered.`, 1);
  }
}

/** A sentence about a process of which there is nothing to recover; null if there is. */
function whyPassedOver(directory: string): string | null {
  const segment = join(directory, SEGMENT_FILE);
  if (existsSync(segment) && loadAddon().isInUse(segment)) {
    return 'is in use: its program is running, and will have its report. For one now: kill -USR2, as it has said.';
  }
  return existsSync(join(directory, BEGUN_FILE))
    ? null
    : 'has no report in it: nothing was being profiled when its process was killed. It can be removed.';
}

/** Directories of processes: itself, or those below. */
function statesIn(path: string): string[] {
  const status = statSync(path, { throwIfNoEntry: false });
  if (status === undefined) {
    throw new CommandFailure(`${path} does not exist. Name the directory that --keep-state was given.`, 2);
  }
  if (!status.isDirectory()) {
    throw new CommandFailure(`${path} is no directory. Name the one that --keep-state was given.`, 2);
  }
  if (isState(path) || existsSync(join(path, BEGUN_FILE))) {
    return [path];
  }
  let names: string[];
  try {
    names = readdirSync(path).sort();
  } catch (error) {
    throw new CommandFailure(`${path} can't be read: ${reasonOf(error)}.`, 1);
  }
  const found = names.map((name) => join(path, name)).filter(isState);
  if (found.length === 0) {
    throw new CommandFailure(
      `There is nothing to recover in ${path}. State is kept there while \`fil-profile run --keep-state ${path} ...\` runs, and removed when the report was written.`,
      2,
    );
  }
  return found;
}

async function recover(directory: string, options: RecoverOptions): Promise<void> {
  const begun = read(join(directory, BEGUN_FILE), Begun);
  const segment = open(join(directory, SEGMENT_FILE), begun);
  try {
    await writeReport(directory, segment, begun, options);
  } finally {
    segment.close();
  }
  if (options.remove === true) {
    rmSync(directory, { recursive: true, force: true });
  } else {
    tell(`The state is still there; remove it when you don't need it: rm -r ${directory}`);
  }
}

function open(path: string, { filprofiler }: Begun): Segment {
  const { Segment } = loadAddon();
  try {
    return new Segment(path, true);
  } catch (error) {
    const advice = filprofiler === VERSION ? '' : ` It is of filprofiler ${filprofiler}; this is ${VERSION}.`;
    throw new CommandFailure(`${path} can't be recovered: ${reasonOf(error)}.${advice}`, 1);
  }
}

async function writeReport(
  directory: string,
  segment: Segment,
  begun: Begun,
  { output }: RecoverOptions,
): Promise<void> {
  if (segment.counters().session === 0) {
    throw new CommandFailure(
      `${directory} has no report in it: the program was killed before anything was tracked.`,
      1,
    );
  }
  const snapshot = segment.snapshot();
  const latest = latestOf(join(directory, LATEST_FILE));
  const figures = segment.lastReading();
  const outOfMemory = figures === null ? undefined : causeIfKilled(figures);
  let reportDirectory: string;
  try {
    reportDirectory = makeReportDirectory(output, new Date());
  } catch (error) {
    throw new CommandFailure(
      `${output}: no directory can be made there: ${reasonOf(error)}. Choose another with -o.`,
      1,
    );
  }
  const made = await perform({
    snapshot: atMoment(snapshot, outOfMemory),
    context: {
      ...begun,
      outcome: { kind: 'died', exitCode: null, signal: null },
      cells: new Map(begun.cells.map((cell) => [cell.filename, cell])),
      resident: latest?.resident ?? null,
      memoryLimit: begun.memoryLimit ?? null,
      observed: undefined,
      outOfMemory,
      startedAt: new Date(begun.startedAt),
      durationSeconds: Math.max(0, snapshot.endedAtSeconds - snapshot.beganAtSeconds),
      timeline: latest?.timeline ?? { seconds: [], bytes: [] },
      producer: { name: 'filprofiler', version: VERSION, python: snapshot.pythonVersion || begun.pythonVersion },
    },
    outputDirectory: reportDirectory,
  });
  tellOf(made, reportDirectory);
  const why =
    outOfMemory === undefined
      ? 'it was killed from outside, together with Fil, with memory left'
      : reasonInWords(outOfMemory, null).replace(/\.$/, '');
  tell(`How the program of ${directory} ended: ${why}.`);
}

function tellOf({ bundle, files, filesProblem }: ReportOutput, directory: string): void {
  writeOut(`${String(bundle['text/plain'])}\n`);
  const page = files.find((file) => file.endsWith(REPORT_PAGE));
  if (page !== undefined) {
    tell(`Wrote the report: ${page}`);
  }
  if (filesProblem !== null) {
    removeIfEmpty(directory);
    throw new CommandFailure(`${filesProblem}. Choose another directory with -o.`, 1);
  }
}

/** Without it the report lacks only how memory grew. */
function latestOf(path: string): Latest | null {
  if (!existsSync(path)) {
    return null;
  }
  try {
    const { seconds, bytes } = read(path, Latest).timeline;
    if (seconds.length !== bytes.length) {
      throw new CommandFailure(`${path} is damaged: its columns have different lengths.`, 1);
    }
    return read(path, Latest);
  } catch (error) {
    tell(`${reasonOf(error)} The report is made without memory over time.`);
    return null;
  }
}

function read<Schema extends z.ZodMiniType>(path: string, schema: Schema): z.infer<Schema> {
  let data: unknown;
  try {
    const status = statSync(path);
    if (!status.isFile() || status.size > LARGEST_JSON_BYTES) {
      throw new CommandFailure(`${path} is no file that Fil has written.`, 1);
    }
    data = JSON.parse(readFileSync(path, 'utf8'));
  } catch (error) {
    if (error instanceof SyntaxError) {
      throw new CommandFailure(`${path} is damaged: it is not JSON.`, 1);
    }
    throw error instanceof CommandFailure ? error : new CommandFailure(`${path} can't be read: ${reasonOf(error)}.`, 1);
  }
  const format = typeof data === 'object' && data !== null && 'format' in data ? data.format : null;
  if (typeof format === 'number' && format !== STATE_FORMAT) {
    throw new CommandFailure(
      `${path} has the format ${format}, this Fil (${VERSION}) reads ${STATE_FORMAT}. Recover it with the version that wrote it.`,
      1,
    );
  }
  const parsed = schema.safeParse(data);
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    const where = issue === undefined ? '' : ` (${issue.path.join('.') || 'at the top'}: ${issue.message})`;
    throw new CommandFailure(`${path} is damaged, or was not written by Fil${where}.`, 1);
  }
  return parsed.data;
}

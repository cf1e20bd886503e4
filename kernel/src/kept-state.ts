/**
 * The state of a profile on disk, from which a report can be made when everybody has died at once, as with a whole container: a
 * directory for this user only, with the segment, what the profile was begun with, and what was last seen of it.
 */
import { existsSync, readdirSync, rmSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import * as z from 'zod/mini';
import { CellSource } from '../../schema/control.js';
import { Report, Subject } from '../../schema/report.js';
import type { Addon, Segment } from './addon.js';
import { reasonOf, StartFailure } from './failure.js';
import { makeReportDirectory } from './launcher/report-directory.js';
import { writeAtomically } from './output/atomic.js';
import { VERSION } from './version.js';

/** Of the two JSON files; raised when a reader of the last one would misread them. */
export const STATE_FORMAT = 1;
export const SEGMENT_FILE = 'segment';
export const BEGUN_FILE = 'begun.json';
export const LATEST_FILE = 'latest.json';

const OWN_FILE_MODE = 0o600;
const OWN_DIRECTORY_MODE = 0o700;
/** So much of its end the course of memory in a recovered report may lack. */
const MS_BETWEEN_NOTES = 1000;
/** What is left behind is looked at when it is so old: nobody is just making it. */
const LEFTOVER_AGE_MS = 60_000;

const bytes = z.int().check(z.minimum(0));

/** What a profile was begun with. */
export const Begun = z.object({
  format: z.literal(STATE_FORMAT),
  /** The version that wrote it. */
  filprofiler: z.string(),
  subject: Subject,
  title: z.nullable(z.string()),
  /** The notebook's cells that can appear in call stacks. */
  cells: z.array(CellSource),
  /** Base of relative file names. */
  workingDirectory: z.string(),
  pythonVersion: z.string(),
  residentBeforeBytes: z.nullable(bytes),
  memoryLimit: Report.shape.memoryLimit,
  /** ISO 8601, UTC. */
  startedAt: z.string().check(z.regex(/^\d{4}-\d{2}-\d{2}T[\d:.]+Z$/)),
});
export type Begun = z.infer<typeof Begun>;

/** What was last seen of it. */
export const Latest = z.object({
  format: z.literal(STATE_FORMAT),
  resident: Report.shape.resident,
  timeline: Report.shape.timeline,
});
export type Latest = z.infer<typeof Latest>;

/** The state of one process, while it lives. */
export class KeptState {
  /** Absolute. */
  readonly directory: string;
  readonly segment: Segment;
  readonly #tell: (problem: string) => void;
  #timer: NodeJS.Timeout | undefined;
  #isBegun = false;

  /**
   * Makes a directory for a process below another, with its segment. What processes have left there that were profiling nothing is
   * removed.
   *
   * @param base made if it does not exist.
   * @param tell is told if the state of a profile can't be kept.
   * @throws {StartFailure} if that is not possible.
   */
  constructor(addon: Addon, base: string, tell: (problem: string) => void) {
    this.#tell = tell;
    const advice = 'Choose another directory to keep it in, or keep none.';
    try {
      this.directory = makeReportDirectory(resolve(base), new Date(), OWN_DIRECTORY_MODE);
    } catch (error) {
      throw new StartFailure(`The profile's state can't be kept in ${base}: ${reasonOf(error)}. ${advice}`);
    }
    removeLeftovers(addon, resolve(base));
    try {
      this.segment = new addon.Segment(this.segmentPath);
    } catch (error) {
      this.#remove();
      throw new StartFailure(
        `The profile's state can't be kept in ${base}, where it needs a file of about 70 MiB: ${reasonOf(error)}. ${advice}`,
      );
    }
  }

  get segmentPath(): string {
    return join(this.directory, SEGMENT_FILE);
  }

  /** Whether a profile has begun whose report is still to be made. */
  get isNeeded(): boolean {
    return this.#isBegun;
  }

  /**
   * A profile begins: from now on its report can be recovered.
   *
   * @param latest gives what is noted now and then.
   */
  begin(begun: Omit<Begun, 'format' | 'filprofiler'>, latest: () => Omit<Latest, 'format'>): void {
    this.end();
    try {
      this.#write(BEGUN_FILE, { format: STATE_FORMAT, filprofiler: VERSION, ...begun } satisfies Begun);
    } catch (error) {
      this.#tell(`The state of this profile is not kept: ${reasonOf(error)}`);
      return;
    }
    this.#isBegun = true;
    this.#timer = setInterval(() => {
      try {
        this.#write(LATEST_FILE, { format: STATE_FORMAT, ...latest() } satisfies Latest);
      } catch {
        // A full disk: what was noted before stands, and the segment is whole.
      }
    }, MS_BETWEEN_NOTES).unref();
  }

  /** Its report was made, or it was given up. */
  end(): void {
    clearInterval(this.#timer);
    if (this.#isBegun) {
      this.#isBegun = false;
      for (const name of [BEGUN_FILE, LATEST_FILE]) {
        rmSync(join(this.directory, name), { force: true });
      }
    }
  }

  /** The process has ended. What a report is still to be made of stays. */
  close(): void {
    clearInterval(this.#timer);
    if (!this.#isBegun) {
      this.#remove();
    }
  }

  #remove(): void {
    rmSync(this.directory, { recursive: true, force: true });
  }

  #write(name: string, content: unknown): void {
    writeAtomically(join(this.directory, name), [JSON.stringify(content)], OWN_FILE_MODE);
  }
}

/** Whether a directory is the state of a process. */
export function isState(directory: string): boolean {
  return existsSync(join(directory, SEGMENT_FILE));
}

/** Of processes that were killed while they profiled nothing. */
function removeLeftovers(addon: Addon, base: string): void {
  for (const name of readdirSync(base)) {
    const directory = join(base, name);
    try {
      const isOld = Date.now() - statSync(directory).mtimeMs > LEFTOVER_AGE_MS;
      const isIdle = isState(directory) && !existsSync(join(directory, BEGUN_FILE));
      if (isOld && isIdle && !addon.isInUse(join(directory, SEGMENT_FILE))) {
        rmSync(directory, { recursive: true, force: true });
      }
    } catch {
      // Somebody else's, or gone.
    }
  }
}

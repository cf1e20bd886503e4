/**
 * The files of a report. Each is written on its own: that one can't be is no reason to lose the others.
 */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { type ReportMoment, reportTitle } from '../../../schema/titles.js';
import type { Report } from '../../../schema/report.js';
import { reasonOf } from '../failure.js';
import type { ReportSource } from '../report/build.js';
import { COMPLETE, FOR_NOTEBOOKS, FOR_PAGES, type Limits } from '../report/prune.js';
import { writeAtomically } from './atomic.js';
import { collapsedStacks } from './collapsed.js';
import { reportJson } from './json.js';
import { toHtmlPage } from './page.js';
import { bundledPictureParts, flamegraphSvg, type PictureParts } from './picture.js';

/** What the pictures and stacks of a moment are called, before their extension. */
export const STEMS = { peak: 'peak-memory', 'out-of-memory': 'out-of-memory' } as const satisfies Record<ReportMoment, string>;

/** The complete report's file. */
export const REPORT_JSON = 'profile.json';
/** The page's file. */
export const REPORT_PAGE = 'index.html';

export interface WriteOptions {
  /** `peak` if not given. */
  readonly moment?: ReportMoment;
  /** Instead of the built files beside the running bundle. */
  readonly parts?: { readonly page: string; readonly picture: PictureParts };
}

export interface WrittenFiles {
  /** Absolute if the directory is; in the order in which a reader wants them, the page first. */
  readonly files: string[];
  /** For each file that could not be written a sentence with its name and the system's reason. */
  readonly problems: string[];
}

/**
 * Writes `index.html`, `profile.json`, and of the moment's name the flamegraphs `.svg` and `-reversed.svg` and the collapsed stacks
 * `.prof`. Each appears complete or not at all, in place of one of the same name.
 *
 * @param directory made if it does not exist.
 */
export function writeReportFiles(
  directory: string,
  source: ReportSource,
  { moment = 'peak', parts }: WriteOptions = {},
): WrittenFiles {
  try {
    mkdirSync(directory, { recursive: true });
  } catch (error) {
    return { files: [], problems: [`the directory ${directory} could not be made: ${reasonOf(error)}`] };
  }
  const reports = new Map<Limits, Report>();
  const report = (limits: Limits): Report => {
    const known = reports.get(limits) ?? source.report(limits);
    reports.set(limits, known);
    return known;
  };
  const svg = (direction: 'callees' | 'callers') => (): Iterable<string> => {
    const shown = report(FOR_NOTEBOOKS);
    return flamegraphSvg(shown, reportTitle(shown, moment), direction, parts?.picture ?? bundledPictureParts());
  };
  const stem = STEMS[moment];
  // The page first: it is what a reader wants most if the disk is nearly full.
  const contents: readonly [name: string, content: () => Iterable<string>][] = [
    [REPORT_PAGE, () => [toHtmlPage(report(FOR_PAGES), { moment, template: parts?.page })]],
    [`${stem}.svg`, svg('callees')],
    [`${stem}-reversed.svg`, svg('callers')],
    [`${stem}.prof`, () => collapsedStacks(report(FOR_NOTEBOOKS))],
    [REPORT_JSON, () => reportJson(report(COMPLETE))],
  ];
  const files: string[] = [];
  const problems: string[] = [];
  for (const [name, content] of contents) {
    const path = join(directory, name);
    try {
      writeAtomically(path, content());
      files.push(path);
    } catch (error) {
      problems.push(`${path} could not be written: ${reasonOf(error)}`);
    }
  }
  return { files, problems };
}

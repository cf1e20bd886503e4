/**
 * What a report's view needs from the page around it: Lab, Notebook 7 or the one-file page.
 */
import type { Frame } from '../../../schema/places.js';
import type { Report } from '../../../schema/report.js';

/** The views of a report, in the order of their tabs. */
export const TABS = ['flamegraph', 'bottom-up', 'lines', 'time'] as const;
export type Tab = (typeof TABS)[number];

/** Another report that this one can be compared with. */
export interface OtherReport {
  /** As the reader knows it: `Cell [3], 1.2 GiB`. */
  readonly label: string;
  /** @throws {ReportError} if it can't be read. */
  load(): Report;
}

export interface ViewHost {
  readonly defaultTab: Tab;
  /** Whether frames of libraries are folded at first. */
  readonly isFolded: boolean;
  /** Shows a frame's line to the reader; null where there is no editor. */
  readonly jump: ((frame: Frame) => void) | null;
  /** Whether {@link jump} would lead anywhere. */
  canJump(frame: Frame): boolean;
  /** The report of the last run of the same cell; null if it is not known. */
  previous(): OtherReport | null;
  /** All others that are at hand. */
  others(): readonly OtherReport[];
  /** The report as a page of its own; null where it already is one. */
  readonly htmlPage: (() => Promise<string>) | null;
}

/** A page with nothing but the report. */
export const PLAIN_HOST: ViewHost = {
  defaultTab: 'flamegraph',
  isFolded: true,
  jump: null,
  canJump: () => false,
  previous: () => null,
  others: () => [],
  htmlPage: null,
};

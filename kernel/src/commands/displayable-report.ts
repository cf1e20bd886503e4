/** Reports of any origin, which a terminal and a page are to show. */
import type { Report } from '../../../schema/report.js';
import { displayableObserved } from '../report/observed.js';
import { displayableProcesses } from '../report/build.js';
import { displayable } from '../report/text.js';

/** Longest text of a report that comes from elsewhere; our own are far shorter. */
const LONGEST_TEXT = 10_000;

/** A report of any origin whose texts are made fit to be shown. Our own are already. */
export function displayableReport(report: Report): Report {
  const shown = (text: string): string => displayable(text, LONGEST_TEXT);
  const { frames, subject, notes, producer, observed, processes } = report;
  return {
    ...report,
    title: report.title === null ? null : shown(report.title),
    subject:
      subject.kind === 'program'
        ? { ...subject, command: subject.command.map(shown) }
        : subject.kind === 'call'
          ? { ...subject, name: shown(subject.name) }
          : subject,
    frames: {
      ...frames,
      function: frames.function.map(shown),
      file: frames.file.map(shown),
      sourceLine: frames.sourceLine.map(shown),
    },
    ...(processes === undefined ? {} : { processes: displayableProcesses(processes) }),
    observed: observed === undefined ? undefined : displayableObserved(observed),
    notes: notes.map((note) => ({ ...note, text: shown(note.text) })),
    producer: { ...producer, version: shown(producer.version), python: shown(producer.python) },
  };
}

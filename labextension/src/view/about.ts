/**
 * Below the report on its own page: what was run, when and with which versions, and how to read what is shown.
 */
import { subjectLabel } from '../../../schema/places.js';
import type { Report } from '../../../schema/report.js';
import { amountInWords, sampledKeptBytes, sampledPeakBytes } from '../../../schema/sampling.js';
import { outcomeInWords, peakParts } from '../../../schema/summary.js';
import { formatBytes, formatSeconds } from '../../../schema/units.js';
import { say } from '../../../schema/words.js';
import { element } from './dom.js';

/** Both as parts that can be folded away. */
export function aboutElement(report: Report): HTMLElement {
  return element('footer', { class: 'fil-about' }, facts(report), help());
}

function facts(report: Report): HTMLElement {
  const { subject, producer, peakBytes, retainedBytes, residentBeforeBytes, tree, sampling } = report;
  const keptBytes = Math.min(retainedBytes, peakBytes);
  const amount = (bytes: number, sampledBytes: number): string =>
    sampling === undefined ? exactly(bytes) : amountInWords(bytes, sampledBytes, sampling);
  const rows: [string, string][] = [
    [subject.kind === 'program' ? say('Command') : say('Profiled'), subjectLabel(subject)],
    [say('Started'), new Date(report.startedAt).toLocaleString()],
    [say('Duration'), formatSeconds(report.durationSeconds)],
    [say('Outcome'), outcomeInFull(report)],
    [say('Peak'), amount(peakBytes, sampledPeakBytes(report))],
    [
      peakParts(report) === null ? say('Left after shutdown') : say('Kept at the end'),
      amount(keptBytes, sampledKeptBytes(keptBytes, sampling)),
    ],
    [say('In use before'), residentBeforeBytes === null ? say('not known') : exactly(residentBeforeBytes)],
    [say('Frames'), tree.parent.length.toLocaleString('en-US')],
    [say('Versions'), `Fil ${producer.version}, Python ${producer.python || say('not known')}`],
  ];
  const list = element(
    'dl',
    { class: 'fil-facts' },
    ...rows.flatMap(([name, value]) => [element('dt', {}, name), element('dd', {}, value)]),
  );
  return element('details', { attributes: { open: '' } }, element('summary', {}, say('About this run')), list);
}

function exactly(bytes: number): string {
  return `${formatBytes(bytes)} (${say('%1 bytes', bytes.toLocaleString('en-US'))})`;
}

/** In more words than the headline, where there is room for them. */
function outcomeInFull(report: Report): string {
  const { outcome } = report;
  if (outcome.kind === 'completed') {
    return say('completed');
  }
  if (outcome.kind === 'died' && outcome.signal !== null) {
    return say('ended by signal %1', outcome.signal);
  }
  if (outcome.kind === 'died' && outcome.exitCode !== null) {
    return say('ended with exit status %1', outcome.exitCode);
  }
  return outcomeInWords(report);
}

function help(): HTMLElement {
  const paragraphs: [string, string][] = [
    [
      say('What is shown'),
      say(
        'The memory that the profiled code held at its peak, the moment when it held most: allocated by Python, its libraries and any C code, and not yet freed. What was freed before the peak is not in the picture.',
      ),
    ],
    [
      say('Flamegraph'),
      say(
        'Each box is a line or a function, below it is what it called. Wider and redder boxes held more. Click a box to zoom, Reset zoom to go back; hover for the file, the line and the bytes. Folded boxes hold the frames of a library.',
      ),
    ],
    [
      say('Bottom up'),
      say(
        'The reversed flamegraph: first the lines that allocated, below each who called it. It adds up a function that is called from many places.',
      ),
    ],
    [say('Lines'), say('A table of all lines: what each allocated itself and together with what it called.')],
    [say('Over time'), say('Memory during the run, with the peak marked.')],
    [
      say('Search'),
      say(
        'Marks what contains a text in the name of its function, its file or its source line, and adds up what that held.',
      ),
    ],
  ];
  return element(
    'details',
    {},
    element('summary', {}, say('How to read this report')),
    element('dl', {}, ...paragraphs.flatMap(([term, text]) => [element('dt', {}, term), element('dd', {}, text)])),
  );
}

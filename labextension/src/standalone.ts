/**
 * Draws the report of a one-file page.
 */
import type { Report } from '../../schema/report.js';
import { aboutElement } from './view/about.js';
import type { OtherReport } from './view/host.js';
import { PLAIN_HOST } from './view/host.js';
import { messageElement } from './view/message.js';
import { ReportView } from './view/report-view.js';
import { openReport } from './view/unpack.js';

/** Ids in the page's template, see scripts/build-report-page.mjs. */
const REPORT_ID = 'fil-report-data';
const BEFORE_ID = 'fil-before-data';
const HOST_ID = 'fil-report';

/** What the template has in place of an earlier report. */
interface Before {
  readonly label: string;
  readonly envelope: unknown;
}

async function draw(): Promise<void> {
  const host = document.getElementById(HOST_ID);
  if (host === null) {
    throw new Error(`The page has no element #${HOST_ID} to draw its report in.`);
  }
  const still = Array.from(host.childNodes);
  try {
    const report = await openReport(dataOf(REPORT_ID));
    const before = await reportBefore();
    const view = new ReportView(host, report, { ...PLAIN_HOST, others: () => (before === null ? [] : [before]) });
    if (before !== null) {
      view.compare(before);
    }
    host.append(aboutElement(report));
    still.forEach((node) => {
      node.remove();
    });
  } catch (error) {
    // The still form stays below the message.
    host.prepend(messageElement(error, ''));
  }
}

function dataOf(id: string): unknown {
  return JSON.parse(document.getElementById(id)?.textContent ?? 'null');
}

async function reportBefore(): Promise<OtherReport | null> {
  const data = dataOf(BEFORE_ID);
  if (!isBefore(data)) {
    return null;
  }
  const report: Report = await openReport(data.envelope);
  return { label: data.label, load: () => report };
}

function isBefore(data: unknown): data is Before {
  return (
    typeof data === 'object' && data !== null && 'label' in data && typeof data.label === 'string' && 'envelope' in data
  );
}

void draw();

/**
 * Draws the report of a one-file page.
 */
import { messageElement } from './view/message.js';
import { ReportView } from './view/report-view.js';
import { openReport } from './view/unpack.js';

/** Ids in the page's template, see scripts/build-report-page.mjs. */
const REPORT_ID = 'fil-report-data';
const HOST_ID = 'fil-report';

async function draw(): Promise<void> {
  const host = document.getElementById(HOST_ID);
  if (host === null) {
    throw new Error(`The page has no element #${HOST_ID} to draw its report in.`);
  }
  const still = Array.from(host.childNodes);
  try {
    const data: unknown = JSON.parse(document.getElementById(REPORT_ID)?.textContent ?? '');
    const opened = openReport(data);
    new ReportView(host, opened instanceof Promise ? await opened : opened);
    still.forEach((node) => {
      node.remove();
    });
  } catch (error) {
    // The still form stays below the message.
    host.prepend(messageElement(error, ''));
  }
}

void draw();

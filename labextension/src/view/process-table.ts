/**
 * The processes that took part, as a table, and the choice of one of them.
 */
import type { Processes, TrackedProcess } from '../../../schema/processes.js';
import type { Report } from '../../../schema/report.js';
import { processesStatement } from '../../../schema/summary.js';
import { processFrameName, type ProcessNode, processNodes } from '../../../schema/tree/of-process.js';
import { formatBytes, formatSeconds } from '../../../schema/units.js';
import { say } from '../../../schema/words.js';
import { element } from './dom.js';

const MOST_ROWS = 100;

/** Lets the reader choose a process; null where there is one only. */
export function processChoice(report: Report, choose: (node: ProcessNode | null) => void): HTMLSelectElement | null {
  const nodes = processNodes(report);
  if (nodes.length < 2) {
    return null;
  }
  const select = element(
    'select',
    {
      class: 'fil-processes-choice',
      attributes: { 'aria-label': say('Show one process'), 'data-lm-suppress-shortcuts': 'true' },
    },
    element('option', { attributes: { value: '' } }, say('All %1 processes', nodes.length)),
    ...nodes.map(({ name, bytes }, row) =>
      element('option', { attributes: { value: String(row) } }, `${name}: ${formatBytes(bytes)}`),
    ),
  );
  select.addEventListener('change', () => {
    choose(select.value === '' ? null : (nodes[Number(select.value)] ?? null));
  });
  return select;
}

/** All processes with their own peaks, folded up. Nothing where there was one only. */
export function processTable(report: Report): HTMLElement[] {
  const { processes, cluster } = report;
  if (processes === undefined) {
    return [];
  }
  const statement = processesStatement(report);
  const isCluster = cluster !== undefined;
  const header = [
    say('process'),
    ...(isCluster ? [] : [say('at the peak of all')]),
    say('its own peak'),
    ...(isCluster ? [] : [say('changed of its parent’s')]),
    say('ran'),
  ];
  const table = element(
    'table',
    {},
    element(
      'caption',
      { class: 'fil-spoken' },
      isCluster
        ? say('Processes by the memory that they held at their own peaks')
        : say('Processes by the memory that they held at the peak of all'),
    ),
    element(
      'thead',
      {},
      element('tr', {}, ...header.map((title) => element('th', { attributes: { scope: 'col' } }, title))),
    ),
    element(
      'tbody',
      {},
      ...processes.tracked.slice(0, MOST_ROWS).map((process) => row(process, isCluster)),
      ...untrackedRows(processes),
    ),
  );
  return [
    element(
      'details',
      { class: 'fil-figures fil-processes' },
      element('summary', {}, say('Processes')),
      ...(statement === null ? [] : [element('p', { class: 'fil-pruned' }, statement)]),
      element('div', { class: 'fil-lines' }, table),
    ),
  ];
}

function row(process: TrackedProcess, isCluster: boolean): HTMLElement {
  const { name, pid, command, jointBytes, peakBytes, copiedBytes, beganSeconds, endedSeconds } = process;
  const cells = [
    ...(isCluster ? [] : [formatBytes(jointBytes)]),
    formatBytes(peakBytes),
    ...(isCluster ? [] : [copiedBytes === null ? '' : formatBytes(copiedBytes)]),
    endedSeconds === null
      ? say('from %1', formatSeconds(beganSeconds))
      : say('%1 to %2', formatSeconds(beganSeconds), formatSeconds(endedSeconds)),
  ];
  return element(
    'tr',
    {},
    element('td', { attributes: { title: command } }, processFrameName({ name, pid })),
    ...cells.map((text) => element('td', { class: 'fil-number' }, text)),
  );
}

function untrackedRows({ untracked }: Processes): HTMLElement[] {
  return untracked
    .slice(0, MOST_ROWS)
    .map(({ pid, command, highWaterBytes }) =>
      element(
        'tr',
        {},
        element('td', { attributes: { title: command } }, processFrameName({ name: command.split(' ')[0] ?? '', pid })),
        element('td', { class: 'fil-number' }, say('not tracked')),
        element('td', { class: 'fil-number' }, say('%1 resident', formatBytes(highWaterBytes))),
        element('td'),
        element('td'),
      ),
    );
}

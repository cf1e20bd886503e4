/**
 * Part of the side panel: what the notebook's process has in memory now, which variables hold it, and the lines that made them.
 */
import type { NotebookPanel } from '@jupyterlab/notebook';
import type { Kernel, KernelMessage } from '@jupyterlab/services';
import type { MemoryLimit } from '../../../schema/report.js';
import { formatBytes, formatShare } from '../../../schema/units.js';
import { say } from '../../../schema/words.js';
import { element } from '../view/dom.js';
import type { Kernels } from './kernels.js';
import { cellWith, goToLineNumber, promptLabel } from './places.js';
import { readVariables, type Variable, type Variables } from './variables.js';

/** After the kernel has become idle: while it runs one cell after the other, reading would only delay it. */
const IDLE_MILLISECONDS = 700;
/** Rows that are shown at first. */
const FIRST_ROWS = 12;

export class MemoryNow {
  readonly element = element('div', { class: 'fil-now' });
  readonly #kernels: Kernels;
  /** How much memory there is, if a report of the notebook tells; null if none does. */
  readonly #limit: () => MemoryLimit | null;
  #panel: NotebookPanel | null = null;
  #kernel: Kernel.IKernelConnection | null = null;
  #isVisible = false;
  /** A cell has run since the variables were read. */
  #isStale = true;
  #isReading = false;
  #isWhole = false;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(kernels: Kernels, limit: () => MemoryLimit | null) {
    this.#kernels = kernels;
    this.#limit = limit;
  }

  /** Tells of another notebook. */
  follow(panel: NotebookPanel | null): void {
    if (panel === this.#panel) {
      return;
    }
    this.#panel?.sessionContext.kernelChanged.disconnect(this.#onKernel, this);
    this.#panel = panel;
    panel?.sessionContext.kernelChanged.connect(this.#onKernel, this);
    this.#onKernel();
  }

  /** Reads while the reader can see it. */
  set isVisible(isVisible: boolean) {
    this.#isVisible = isVisible;
    this.#soon();
  }

  /** Reads now, whatever has happened since the last time. */
  async read(): Promise<void> {
    const panel = this.#panel;
    if (panel === null) {
      this.#tell(say('No notebook is open.'));
      return;
    }
    if (!this.#kernels.canProfile(panel)) {
      this.#tell(say("This notebook's kernel can't tell: choose one of Fil."));
      return;
    }
    const kernel = this.#kernel;
    if (kernel?.status !== 'idle') {
      this.#tell(say('The kernel is busy. It tells when it is idle.'));
      return;
    }
    if (this.#isReading) {
      return;
    }
    this.#isReading = true;
    this.#isStale = false;
    try {
      const variables = await readVariables(kernel);
      if (this.#panel === panel) {
        this.#draw(panel, variables);
      }
    } catch (error) {
      this.#tell(error instanceof Error ? error.message : String(error));
    } finally {
      this.#isReading = false;
      this.#soon();
    }
  }

  dispose(): void {
    this.follow(null);
    clearTimeout(this.#timer);
  }

  #onKernel(): void {
    this.#kernel?.iopubMessage.disconnect(this.#onMessage, this);
    this.#kernel?.statusChanged.disconnect(this.#soon, this);
    this.#kernel = this.#panel?.sessionContext.session?.kernel ?? null;
    this.#kernel?.iopubMessage.connect(this.#onMessage, this);
    this.#kernel?.statusChanged.connect(this.#soon, this);
    this.element.replaceChildren();
    this.#isStale = true;
    this.#soon();
  }

  #onMessage(_: unknown, message: KernelMessage.IIOPubMessage): void {
    // Silent requests, such as ours, don't say what they run.
    if (message.header.msg_type === 'execute_input') {
      this.#isStale = true;
    }
  }

  #soon(): void {
    clearTimeout(this.#timer);
    const isIdle = this.#kernel?.status === 'idle' || this.#kernel === null;
    if (this.#isVisible && this.#isStale && isIdle && !this.#isReading) {
      this.#timer = setTimeout(() => {
        void this.read();
      }, IDLE_MILLISECONDS);
    }
  }

  #tell(words: string): void {
    this.element.replaceChildren(element('p', { class: 'fil-soft', attributes: { role: 'status' } }, words));
  }

  #draw(panel: NotebookPanel, { residentBytes, variables }: Variables): void {
    const parts: HTMLElement[] = [];
    if (residentBytes !== null) {
      parts.push(...this.#total(residentBytes));
    }
    if (variables.length === 0) {
      parts.push(element('p', { class: 'fil-soft' }, say('There are no variables of more than 1 KiB.')));
    } else {
      parts.push(this.#table(panel, this.#isWhole ? variables : variables.slice(0, FIRST_ROWS)));
    }
    if (!this.#isWhole && variables.length > FIRST_ROWS) {
      const more = element(
        'button',
        { class: 'fil-button', attributes: { type: 'button' } },
        say('Show all %1 variables', variables.length),
      );
      more.addEventListener('click', () => {
        this.#isWhole = true;
        this.#draw(panel, { residentBytes, variables });
      });
      parts.push(more);
    }
    this.element.replaceChildren(...parts);
  }

  #total(residentBytes: number): HTMLElement[] {
    const limit = this.#limit();
    const bytes = element('strong', {}, formatBytes(residentBytes));
    if (limit === null) {
      return [element('p', {}, bytes, ` ${say('in memory')}`)];
    }
    const whole = formatBytes(limit.bytes);
    const words =
      limit.of === 'container'
        ? say("%1 of this container's %2", formatShare(residentBytes, limit.bytes), whole)
        : say("%1 of this machine's %2", formatShare(residentBytes, limit.bytes), whole);
    const bar = element('div', { class: 'fil-now-bar', attributes: { 'aria-hidden': 'true' } }, element('i'));
    (bar.firstElementChild as HTMLElement).style.width = `${Math.min(100, (100 * residentBytes) / limit.bytes)}%`;
    return [element('p', {}, bytes, ' ', element('span', { class: 'fil-soft' }, words)), bar];
  }

  #table(panel: NotebookPanel, variables: readonly Variable[]): HTMLElement {
    const titles = [say('Variable'), say('Made by'), say('Size')];
    return element(
      'table',
      {},
      element('caption', { class: 'fil-spoken' }, say('Variables by their size')),
      element(
        'thead',
        {},
        element('tr', {}, ...titles.map((title) => element('th', { attributes: { scope: 'col' } }, title))),
      ),
      element('tbody', {}, ...variables.map((variable) => row(panel, variable))),
    );
  }
}

function row(panel: NotebookPanel, variable: Variable): HTMLElement {
  const { names, type, bytes, isWhole } = variable;
  const size = isWhole ? formatBytes(bytes) : say('%1 or more', formatBytes(bytes));
  return element(
    'tr',
    {},
    element(
      'td',
      { title: `${names.join(', ')}: ${type}` },
      element('code', {}, names.join(', ')),
      ' ',
      element('span', { class: 'fil-soft' }, type),
    ),
    element('td', {}, madeBy(panel, variable)),
    element('td', {}, size),
  );
}

/** The cell and the line that made a variable, as a link where the notebook has that cell. */
function madeBy(panel: NotebookPanel, { cell: number, cellId, line }: Variable): Node | string {
  if (number === null) {
    return element('span', { class: 'fil-soft' }, say('not known'));
  }
  const cell = cellWith(panel, cellId, number);
  const label = promptLabel(number);
  const words = line > 0 ? say('%1 line %2', label, line) : label;
  if (cell === null) {
    return words;
  }
  // Run again since, its lines may be others.
  const isAsItWas = cell.model.executionCount === number;
  const link = element(
    'button',
    {
      class: 'fil-link',
      title: isAsItWas ? say('Go to the line') : say('Go to the cell, which has been run again since'),
      attributes: { type: 'button' },
    },
    words,
  );
  link.addEventListener('click', () => {
    void goToLineNumber({ panel, cell }, isAsItWas ? line : 0);
  });
  return link;
}

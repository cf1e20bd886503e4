/**
 * A report as its reader sees it: the answer in words, then the pictures and tables. The same in a notebook and in the one-file page.
 */
import { requestPicture } from '../../../schema/failed-request.js';
import type { Frame } from '../../../schema/places.js';
import type { Report } from '../../../schema/report.js';
import { reportText } from '../../../schema/report-text.js';
import { pruningStatement, residentStatement, untouchedStatement } from '../../../schema/summary.js';
import { findings, MOST_FINDINGS } from '../../../schema/findings.js';
import { notesInWords } from '../../../schema/notes.js';
import { say } from '../../../schema/words.js';
import { ofProcess } from '../../../schema/tree/of-process.js';
import { type ChangeInWords, peakCompared, sinceLastRun } from './change.js';
import { element } from './dom.js';
import { requestElement } from './failed-request.js';
import { headlineElement } from './headline.js';
import { type OtherReport, PLAIN_HOST, type Tab, TABS, type ViewHost } from './host.js';
import { processChoice, processTable } from './process-table.js';
import { legendElement } from './legend.js';
import { Menu, type MenuItem } from './menu.js';
import { makePanel, type Panel } from './panels.js';
import { copyText, download, fileName, svgText, toPng } from './save.js';
import { stillColours } from './still-colours.js';
import { stillPicture } from './still.js';
import { foldedFrames } from '../../../schema/tree/model.js';

/** Searching while somebody types would mark half of the frames first. */
const SEARCH_DELAY_MILLISECONDS = 40;

let lastId = 0;

/** Adds itself to an element and draws; {@link dispose} takes everything away again. */
export class ReportView {
  readonly #root: HTMLElement;
  readonly #report: Report;
  readonly #toolbar = element('div', { class: 'fil-toolbar' });
  readonly #place = element('div', { class: 'fil-panel', attributes: { role: 'tabpanel' } });
  readonly #below = element('div', { class: 'fil-below' });
  readonly #status = element('span', { class: 'fil-status', attributes: { role: 'status' } });
  readonly #spoken = element('div', { class: 'fil-spoken', attributes: { 'aria-live': 'polite' } });
  readonly #change = element('span', { class: 'fil-change' });
  readonly #search = searchBox();
  readonly #fold = element('label', { class: 'fil-fold' });
  readonly #reset: HTMLButtonElement;
  readonly #menu: Menu;
  readonly #tabs = new Map<Tab, HTMLButtonElement>();
  readonly #host: ViewHost;
  #tab: Tab;
  #isFolded: boolean;
  /** The part that is shown: of one process, or everything. */
  #shown: Report;
  #compared: { readonly label: string; readonly report: Report } | null = null;
  #panel: Panel | null = null;
  #searchTimer: ReturnType<typeof setTimeout> | undefined;

  /**
   * @param into where to draw; its other content stays.
   * @throws {RangeError} if the report can't be drawn; then nothing was added.
   */
  constructor(into: HTMLElement, report: Report, host: ViewHost = PLAIN_HOST) {
    this.#report = report;
    this.#shown = report;
    this.#host = host;
    this.#tab = host.defaultTab;
    this.#isFolded = host.isFolded;
    this.#reset = button(say('Reset zoom'), () => {
      this.#panel?.resetZoom?.();
    });
    this.#menu = new Menu(say('Copy, save, compare'), () => this.#menuItems());
    const header = headlineElement(report);
    header.querySelector('.fil-subline')?.append(this.#change);
    const parts: HTMLElement[] = [header];
    const request = requestPicture(report);
    if (request !== null) {
      parts.push(requestElement(request));
    }
    if (report.peakBytes > 0) {
      this.#fillToolbar();
      this.#showPanel();
      parts.push(this.#toolbar, this.#place, this.#below, this.#spoken);
    }
    parts.push(...processTable(report), ...remarks(report));
    this.#root = element(
      'section',
      { class: 'fil-report', attributes: { 'aria-label': say('Memory profile') } },
      ...parts,
    );
    into.append(this.#root);
    this.#panel?.fit();
  }

  /** The page has put the view into its place: tells of the last run, if there is one. */
  attached(): void {
    const previous = this.#host.previous();
    this.#change.replaceChildren();
    if (previous !== null) {
      this.#tellChange(previous);
    }
    if (this.#panel !== null && this.#tab === 'lines') {
      // Its rows are links where there is an editor.
      this.#showPanel();
    }
    this.#panel?.fit();
  }

  /** Shows the frames of certain lines; their picture comes to the front if it isn't there. */
  select(isOfInterest: (frame: Frame) => boolean): void {
    if (this.#panel !== null && !this.#panel.select(isOfInterest) && this.#tab !== 'flamegraph') {
      this.#choose('flamegraph');
      this.#panel.select(isOfInterest);
    }
    this.#place.scrollIntoView({ block: 'nearest' });
  }

  /** Compares with another report, or, with null, no longer. */
  compare(other: OtherReport | null): void {
    try {
      this.#compared = other === null ? null : { label: other.label, report: other.load() };
    } catch (error) {
      this.#status.textContent = error instanceof Error ? error.message : String(error);
      return;
    }
    this.#showPanel();
  }

  dispose(): void {
    clearTimeout(this.#searchTimer);
    this.#menu.dispose();
    this.#panel?.dispose();
    this.#panel = null;
    this.#root.remove();
  }

  #tellChange(previous: OtherReport): void {
    let change: ChangeInWords;
    try {
      change = sinceLastRun(this.#report, previous.load());
    } catch {
      // It was there only to be compared with; the report itself is not concerned.
      return;
    }
    const compare = element('button', { class: 'fil-link', attributes: { type: 'button' } }, say('compare'));
    compare.addEventListener('click', () => {
      this.compare(this.#compared === null ? previous : null);
    });
    this.#change.replaceChildren(' · ', element('span', { class: `fil-${change.kind}` }, change.words), ' ', compare);
  }

  #fillToolbar(): void {
    const list = element('div', { class: 'fil-tabs', attributes: { role: 'tablist' } });
    const id = `fil-panel-${++lastId}`;
    this.#place.id = id;
    for (const tab of TABS) {
      const made = button(tabTitle(tab), () => {
        this.#choose(tab);
      });
      made.className = 'fil-tab';
      made.setAttribute('role', 'tab');
      made.setAttribute('aria-controls', id);
      made.addEventListener('keydown', (event) => {
        this.#onTabKey(event, tab);
      });
      this.#tabs.set(tab, made);
      list.append(made);
    }
    list.setAttribute('data-lm-suppress-shortcuts', 'true');
    const fold = element('input', { attributes: { type: 'checkbox', 'data-lm-suppress-shortcuts': 'true' } });
    fold.checked = this.#isFolded;
    fold.addEventListener('change', () => {
      this.#isFolded = fold.checked;
      this.#showPanel();
    });
    this.#search.addEventListener('input', () => {
      clearTimeout(this.#searchTimer);
      this.#searchTimer = setTimeout(() => {
        this.#applySearch();
      }, SEARCH_DELAY_MILLISECONDS);
    });
    this.#fold.append(fold, say('fold library frames'));
    const processes = processChoice(this.#report, (node) => {
      this.#shown = node === null ? this.#report : ofProcess(this.#report, node);
      this.#showPanel();
    });
    this.#toolbar.append(
      list,
      ...(processes === null ? [] : [processes]),
      this.#status,
      this.#fold,
      this.#search,
      this.#reset,
      this.#menu.element,
    );
  }

  #choose(tab: Tab): void {
    if (tab !== this.#tab) {
      this.#tab = tab;
      this.#showPanel();
    }
  }

  #onTabKey(event: KeyboardEvent, tab: Tab): void {
    const step = event.key === 'ArrowRight' ? 1 : event.key === 'ArrowLeft' ? -1 : 0;
    const next = TABS[(TABS.indexOf(tab) + step + TABS.length) % TABS.length];
    if (step !== 0 && next !== undefined) {
      event.preventDefault();
      event.stopPropagation();
      this.#choose(next);
      this.#tabs.get(next)?.focus();
    }
  }

  #showPanel(): void {
    const panel = makePanel(this.#tab, {
      report: this.#shown,
      isFolded: this.#isFolded,
      before: this.#compared?.report ?? null,
      host: this.#host,
      events: {
        zoomed: (frame) => {
          this.#reset.disabled = frame === null;
        },
        focused: (words) => {
          this.#spoken.textContent = words;
        },
      },
    });
    this.#panel?.dispose();
    this.#panel = panel;
    this.#place.replaceChildren(panel.element);
    panel.fit();
    this.#reset.disabled = true;
    this.#reset.hidden = panel.resetZoom === null;
    this.#search.hidden = this.#fold.hidden = this.#tab === 'time';
    for (const [tab, made] of this.#tabs) {
      made.setAttribute('aria-selected', String(tab === this.#tab));
      made.tabIndex = tab === this.#tab ? 0 : -1;
    }
    this.#place.setAttribute('aria-label', tabTitle(this.#tab));
    this.#below.replaceChildren(...this.#legend());
    this.#applySearch();
  }

  #legend(): Node[] {
    const isPicture = this.#tab === 'flamegraph' || this.#tab === 'bottom-up';
    const parts: Node[] = isPicture ? [legendElement(this.#tab, this.#compared !== null)] : [];
    if (this.#compared !== null) {
      const { label, report: before } = this.#compared;
      if (this.#tab === 'time') {
        parts.push(element('span', {}, say('dashed: the earlier run')));
      }
      parts.push(
        element(
          'span',
          { class: 'fil-compared' },
          say('Compared with %1: %2.', label, peakCompared(this.#report, before)),
        ),
        button(say('Stop comparing'), () => {
          this.compare(null);
        }),
      );
    }
    return parts;
  }

  #applySearch(): void {
    this.#status.textContent = this.#panel?.search(this.#search.value) ?? '';
  }

  #menuItems(): MenuItem[] {
    const { htmlPage } = this.#host;
    const items: MenuItem[] = [
      {
        label: say('Copy as text'),
        run: () => {
          this.#do(say('Copied.'), () => copyText(reportText(this.#report)));
        },
      },
      {
        label: say('Save as SVG'),
        run: () => {
          this.#do(say('Saved.'), () => {
            this.#save('svg', new Blob([svgText(this.#picture())], { type: 'image/svg+xml' }));
          });
        },
      },
      {
        label: say('Save as PNG'),
        run: () => {
          this.#do(say('Saved.'), async () => {
            this.#save('png', await toPng(this.#picture()));
          });
        },
      },
    ];
    if (htmlPage !== null) {
      items.push({
        label: say('Save as HTML'),
        run: () => {
          this.#do(say('Saved.'), async () => {
            this.#save('html', new Blob([await htmlPage()], { type: 'text/html' }));
          });
        },
      });
    }
    this.#host.others().forEach((other, nth) => {
      items.push({
        label: other.label,
        ...(nth === 0 ? { section: say('Compare with') } : {}),
        run: () => {
          this.compare(other);
        },
      });
    });
    return items;
  }

  /** The picture as it is shown; the folded flamegraph where a table is. */
  #picture(): SVGSVGElement {
    const tree = this.#panel?.tree ?? foldedFrames(this.#report);
    const compared = this.#compared?.report.peakBytes;
    const largerPeak = compared === undefined ? null : Math.max(compared, this.#report.peakBytes);
    return stillPicture(this.#report, tree, stillColours(this.#root, largerPeak));
  }

  #save(extension: string, content: Blob): void {
    download(`${fileName(this.#report)}.${extension}`, content);
  }

  #do(done: string, act: () => Promise<void> | void): void {
    Promise.resolve()
      .then(act)
      .then(
        () => {
          this.#status.textContent = done;
        },
        (error: unknown) => {
          this.#status.textContent = error instanceof Error ? error.message : String(error);
        },
      );
  }
}

function tabTitle(tab: Tab): string {
  switch (tab) {
    case 'flamegraph':
      return say('Flamegraph');
    case 'bottom-up':
      return say('Bottom up');
    case 'lines':
      return say('Lines');
    case 'time':
      return say('Over time');
  }
}

function button(text: string, act: () => void): HTMLButtonElement {
  const made = element('button', { class: 'fil-button', attributes: { type: 'button' } }, text);
  made.addEventListener('click', act);
  return made;
}

function searchBox(): HTMLInputElement {
  return element('input', {
    class: 'fil-search',
    attributes: {
      type: 'search',
      placeholder: say('Search'),
      'aria-label': say('Search functions, files and source lines'),
      spellcheck: 'false',
      'data-lm-suppress-shortcuts': 'true',
    },
  });
}

function remarks(report: Report): HTMLElement[] {
  const facts = findings(report)
    .slice(0, MOST_FINDINGS)
    .map(({ code, statement, advice, evidence }) =>
      element(
        'p',
        { class: 'fil-note fil-finding', attributes: { 'data-code': code } },
        element('strong', {}, statement),
        ` ${advice} `,
        element('span', { class: 'fil-soft' }, evidence),
      ),
    );
  const { urgent, other } = notesInWords(report);
  const notes = urgent.map(({ code, text }) =>
    element('p', { class: 'fil-note', attributes: { 'data-code': code } }, text),
  );
  const details = [
    ...other.map(({ text }) => text),
    pruningStatement(report),
    residentStatement(report),
    untouchedStatement(report),
  ]
    .filter((statement) => statement !== null)
    .map((statement) => element('p', { class: 'fil-pruned' }, statement));
  const left =
    details.length === 0
      ? []
      : [element('details', { class: 'fil-figures' }, element('summary', {}, say('About these figures')), ...details)];
  return [...facts, ...notes, ...left];
}

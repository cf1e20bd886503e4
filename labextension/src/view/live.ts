/**
 * A profile that is running: its figures, its lines and its way so far, drawn anew with every update.
 */
import { LIVE_MIME_TYPE, LIVE_VERSION, type LiveLine, liveHeadline, LiveProfile } from '../../../schema/live.js';
import { frameLabel } from '../../../schema/places.js';
import { formatBytes, formatSeconds, formatShare } from '../../../schema/units.js';
import { say } from '../../../schema/words.js';
import { element } from './dom.js';
import { phraseElement } from './headline.js';
import { shape } from './svg.js';

/** After so many updates that were due and did not come, and some seconds for a slow network, none is expected any more. */
const MISSED_UPDATES = 3;
const GRACE_SECONDS = 5;
/** Someone who listens to the page hears how it is going this often; twice a second would be all that there is to hear. */
const SPOKEN_EVERY_SECONDS = 20;
const [CHART_WIDTH, CHART_HEIGHT] = [300, 40];

export class LiveView {
  readonly element: HTMLElement;
  readonly #figures = element('div');
  readonly #spoken = element('div', { class: 'fil-hidden', attributes: { role: 'status' } });
  readonly #stale = element('p', { class: 'fil-note' });
  #timer: ReturnType<typeof setTimeout> | undefined;
  #spokenAtSeconds = -Infinity;

  constructor() {
    const label = say('Memory profile of the running cell');
    this.element = element(
      'section',
      { class: 'fil-report fil-live', attributes: { role: 'group', 'aria-label': label } },
      this.#figures,
      this.#stale,
      this.#spoken,
    );
    this.#stale.hidden = true;
  }

  /** @param data parsed JSON of any origin. */
  update(data: unknown): void {
    clearTimeout(this.#timer);
    const parsed = LiveProfile.safeParse(data);
    this.element.classList.remove('fil-stale');
    if (!parsed.success) {
      this.#figures.replaceChildren();
      this.#say(unreadable(data));
      return;
    }
    const live = parsed.data;
    this.#stale.hidden = true;
    this.#figures.replaceChildren(
      ...(live.title === null ? [] : [element('div', { class: 'fil-title' }, live.title)]),
      element(
        'div',
        { class: 'fil-headline' },
        element('i', { class: 'fil-pulse' }),
        ...liveHeadline(live).map(phraseElement),
      ),
      chart(live),
      ...(live.lines.length === 0 ? [] : [table(live)]),
    );
    if (live.elapsedSeconds - this.#spokenAtSeconds >= SPOKEN_EVERY_SECONDS) {
      this.#spokenAtSeconds = live.elapsedSeconds;
      this.#spoken.textContent = inWords(live);
    }
    this.#timer = setTimeout(
      () => {
        this.element.classList.add('fil-stale');
        this.#say(
          say(
            'No news since then: the kernel was ended, or the page was not there when the report came. Run the cell again for a report.',
          ),
        );
      },
      1000 * (MISSED_UPDATES * live.nextSeconds + GRACE_SECONDS),
    );
  }

  dispose(): void {
    clearTimeout(this.#timer);
    this.element.remove();
  }

  #say(text: string): void {
    this.#stale.textContent = text;
    this.#stale.hidden = false;
  }
}

function unreadable(data: unknown): string {
  const version = typeof data === 'object' && data !== null && 'version' in data ? data.version : undefined;
  return typeof version === 'number' && version > LIVE_VERSION
    ? say(
        'This view of a running cell has version %1, this Fil reads versions up to %2. Update filprofiler.',
        version,
        LIVE_VERSION,
      )
    : say('This view of a running cell (%1) is damaged. Run the cell again.', LIVE_MIME_TYPE);
}

function inWords({ peakBytes, currentBytes, elapsedSeconds }: LiveProfile): string {
  return say(
    'Peak so far %1, now %2, after %3',
    formatBytes(peakBytes),
    formatBytes(currentBytes),
    formatSeconds(Math.round(elapsedSeconds)),
  );
}

/** Memory over time until now; the peak is its top. */
function chart({ timeline, elapsedSeconds, peakBytes, currentBytes }: LiveProfile): SVGElement {
  const svg = shape('svg', {
    class: 'fil-live-chart',
    viewBox: `0 0 ${CHART_WIDTH} ${CHART_HEIGHT}`,
    preserveAspectRatio: 'none',
    'aria-hidden': 'true',
  });
  const x = (seconds: number): string => ((CHART_WIDTH * seconds) / Math.max(elapsedSeconds, 0.001)).toFixed(1);
  const y = (bytes: number): string => (CHART_HEIGHT * (1 - bytes / Math.max(1, peakBytes))).toFixed(1);
  const points = timeline.seconds.map((seconds, row) => `${x(seconds)} ${y(timeline.bytes[row] ?? 0)}`);
  const line = [`0 ${y(0)}`, ...points, `${CHART_WIDTH} ${y(currentBytes)}`].join('L');
  svg.append(
    shape('path', { class: 'fil-area', d: `M${line}L${CHART_WIDTH} ${y(0)}Z` }),
    shape('path', { class: 'fil-curve', d: `M${line}`, 'vector-effect': 'non-scaling-stroke' }),
  );
  return svg;
}

function table(live: LiveProfile): HTMLElement {
  return element(
    'table',
    { class: 'fil-live-lines' },
    element('caption', { class: 'fil-hidden' }, say('Lines that held most at the peak so far')),
    element('tbody', {}, ...live.lines.map((line) => row(line, live))),
  );
}

function row(line: LiveLine, { peakBytes, subject }: LiveProfile): HTMLElement {
  const { name, place, source } = frameLabel(line, subject);
  const share = element('i');
  share.style.width = `${(100 * Math.min(1, line.bytes / Math.max(1, peakBytes))).toFixed(1)}%`;
  return element(
    'tr',
    {},
    element('td', {}, formatBytes(line.bytes)),
    element('td', {}, formatShare(line.bytes, peakBytes)),
    element('td', { class: 'fil-live-share', attributes: { 'aria-hidden': 'true' } }, share),
    element('td', { class: 'fil-live-where' }, [name, place].filter((part) => part !== '').join(', ')),
    element('td', { class: 'fil-live-source' }, element('code', {}, source)),
  );
}

/**
 * Memory over the time of the run, with the peak marked.
 */
import type { Report } from '../../../schema/report.js';
import { amountInWords, sampledKeptBytes, sampledPeakBytes } from '../../../schema/sampling.js';
import { formatBytes, formatSeconds } from '../../../schema/units.js';
import { say } from '../../../schema/words.js';
import { element } from './dom.js';
import { type Area, areasInWords, areasLegend, areasOf, drawAreas } from './process-areas.js';
import { shape } from './svg.js';

const HEIGHT = 190;
/** Above the curve is room for the words about its peak. */
const [LEFT, RIGHT, TOP, BOTTOM] = [76, 16, 24, 24];

/** A moment of a run. */
interface Moment {
  readonly seconds: number;
  readonly bytes: number;
}

/**
 * The samples of a report with the exact peak among them: it lies between two samples, so it is put at the highest. Begins at nothing
 * and ends with what was kept.
 */
export function moments(report: Report): { readonly all: readonly Moment[]; readonly peak: Moment | null } {
  const { timeline, durationSeconds, peakBytes, retainedBytes, cluster } = report;
  const samples = sampledSeconds(report).map((seconds, row): Moment => ({ seconds, bytes: timeline.bytes[row] ?? 0 }));
  let highest: Moment | undefined;
  for (const sample of samples) {
    highest = highest === undefined || sample.bytes > highest.bytes ? sample : highest;
  }
  if (highest === undefined) {
    return { all: [], peak: null };
  }
  // The workers of a cluster have their peaks at different moments.
  const peak: Moment = cluster === undefined ? { seconds: highest.seconds, bytes: peakBytes } : highest;
  const all = samples.map((sample) => (sample === highest ? peak : sample));
  if ((all[0]?.seconds ?? 0) > 0) {
    all.unshift({ seconds: 0, bytes: 0 });
  }
  all.push({ seconds: durationSeconds, bytes: Math.min(retainedBytes, peakBytes) });
  return { all, peak };
}

/** When the samples were taken; the last ones may be a moment after the end. */
function sampledSeconds({ timeline, durationSeconds }: Report): number[] {
  return timeline.seconds.map((seconds) => Math.min(seconds, durationSeconds));
}

/** Draws itself once its element has a width, and anew when the width changes. */
export class TimeChart {
  readonly element = element('div', { class: 'fil-time' });
  readonly #report: Report;
  /** The report that it is compared with. */
  readonly #before: Report | null;
  /** By processes, if there were several. */
  readonly #areas: readonly Area[];
  readonly #observer: ResizeObserver;
  readonly #readout = element('div', { class: 'fil-time-readout fil-soft' });
  readonly #canvas = element('div');
  #width = 0;

  constructor(report: Report, before: Report | null) {
    this.#report = report;
    this.#before = before;
    this.#areas = areasOf(report);
    this.element.append(this.#canvas, this.#readout, ...areasLegend(this.#areas));
    this.#observer = new ResizeObserver(() => {
      this.fit();
    });
    this.#observer.observe(this.element);
  }

  /** Draws itself as wide as its element is now. Does nothing while it has no width. */
  fit(): void {
    const width = Math.floor(this.element.clientWidth);
    if (width > 0 && width !== this.#width) {
      this.#width = width;
      this.#draw(width);
    }
  }

  dispose(): void {
    this.#observer.disconnect();
    this.element.remove();
  }

  #draw(width: number): void {
    const { all, peak } = moments(this.#report);
    if (peak === null) {
      this.#canvas.replaceChildren(
        element('p', { class: 'fil-soft' }, say('The run was too short to see its memory change over time.')),
      );
      return;
    }
    const earlier = this.#before === null ? { all: [], peak: null } : moments(this.#before);
    const last = Math.max(all.at(-1)?.seconds ?? 0, earlier.all.at(-1)?.seconds ?? 0, Number.EPSILON);
    const most = Math.max(1, peak.bytes, earlier.peak?.bytes ?? 0);
    const x = (seconds: number): number => LEFT + ((width - LEFT - RIGHT) * seconds) / last;
    const y = (bytes: number): number => HEIGHT - BOTTOM - ((HEIGHT - TOP - BOTTOM) * bytes) / most;
    const svg = shape('svg', { width, height: HEIGHT, role: 'img', 'aria-label': this.#inWords(peak) });
    for (const part of [0, 0.5, 1]) {
      const bytes = most * part;
      svg.append(
        shape('line', { class: 'fil-grid', x1: LEFT, x2: width - RIGHT, y1: y(bytes), y2: y(bytes) }),
        words(LEFT - 8, y(bytes) + 4, 'end', formatBytes(Math.round(bytes))),
      );
    }
    for (const part of [0, 0.25, 0.5, 0.75, 1]) {
      const anchor = part === 0 ? 'start' : part === 1 ? 'end' : 'middle';
      svg.append(words(x(last * part), HEIGHT - 6, anchor, part === 0 ? '0' : formatSeconds(last * part)));
    }
    const through = (curve: readonly Moment[]): string =>
      curve.map(({ seconds, bytes }) => `${x(seconds).toFixed(1)} ${y(bytes).toFixed(1)}`).join('L');
    const end = x(all.at(-1)?.seconds ?? 0).toFixed(1);
    svg.append(
      shape('path', { class: 'fil-area', d: `M${x(0)} ${y(0)}L${through(all)}L${end} ${y(0)}Z` }),
      ...drawAreas(this.#areas, sampledSeconds(this.#report).map(x), y),
      shape('path', { class: 'fil-curve', d: `M${through(all)}` }),
      ...(earlier.peak === null ? [] : [shape('path', { class: 'fil-curve-before', d: `M${through(earlier.all)}` })]),
      shape('circle', { class: 'fil-peak', cx: x(peak.seconds), cy: y(peak.bytes), r: 4 }),
    );
    const isRight = x(peak.seconds) > width / 2;
    const label = words(
      x(peak.seconds) + (isRight ? 5 : -5),
      y(peak.bytes) - 10,
      isRight ? 'end' : 'start',
      this.#inWords(peak),
      true,
    );
    svg.append(label);
    const cursor = shape('line', { class: 'fil-cursor', y1: TOP, y2: HEIGHT - BOTTOM, visibility: 'hidden' });
    svg.append(cursor);
    svg.addEventListener('pointermove', (event) => {
      const offset = event.clientX - svg.getBoundingClientRect().left;
      const seconds = Math.max(0, Math.min(last, ((offset - LEFT) / Math.max(1, width - LEFT - RIGHT)) * last));
      const moment = nearest(all, seconds);
      cursor.setAttribute('x1', String(x(moment.seconds)));
      cursor.setAttribute('x2', String(x(moment.seconds)));
      cursor.setAttribute('visibility', 'visible');
      this.#readout.textContent = this.#momentInWords(moment);
    });
    svg.addEventListener('pointerleave', () => {
      cursor.setAttribute('visibility', 'hidden');
      this.#tell(peak);
    });
    this.#canvas.replaceChildren(svg);
    this.#tell(peak);
  }

  #tell(peak: Moment): void {
    const kept = Math.min(this.#report.retainedBytes, peak.bytes);
    this.#readout.textContent = say(
      'Memory of this run over time, %1 at its end. Move the pointer over the curve to read it.',
      amountInWords(kept, sampledKeptBytes(kept, this.#report.sampling), this.#report.sampling),
    );
  }

  #momentInWords({ seconds, bytes }: Moment): string {
    // What of it is estimated is known of the peak alone: the widest interval.
    const amount = amountInWords(bytes, bytes, this.#report.sampling);
    const total = say('%1 after %2', amount, formatSeconds(seconds));
    const parts = areasInWords(this.#areas, sampledSeconds(this.#report).indexOf(seconds));
    return parts === '' ? total : `${total} (${parts})`;
  }

  #inWords(peak: Moment): string {
    const { peakBytes, sampling } = this.#report;
    const sampledBytes = peak.bytes === peakBytes ? sampledPeakBytes(this.#report) : peak.bytes;
    return say('peak %1 at %2', amountInWords(peak.bytes, sampledBytes, sampling), formatSeconds(peak.seconds));
  }
}

function nearest(all: readonly Moment[], seconds: number): Moment {
  return all.reduce(
    (best, moment) => (Math.abs(moment.seconds - seconds) < Math.abs(best.seconds - seconds) ? moment : best),
    all[0] ?? { seconds: 0, bytes: 0 },
  );
}

function words(x: number, y: number, anchor: string, text: string, isStrong = false): SVGTextElement {
  const made = shape('text', { x, y, 'text-anchor': anchor, class: isStrong ? 'fil-strong' : '' });
  made.textContent = text;
  return made;
}

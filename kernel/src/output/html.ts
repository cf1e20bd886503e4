/**
 * A report as HTML without any script or style sheet, for everything that doesn't have our extension: nbconvert, GitHub, editors, Lab
 * without it. It has to survive Lab's sanitizer, to be readable where inline styles are removed, and on light and dark paper:
 * text takes the page's colour except on coloured frames, which have their own. Its elements are those that nbconvert's sanitizer knows, which
 * nbviewer uses: it shows the tags of others as text.
 */
import { escapeUTF8 } from 'entities/escape';
import { at } from '../../../schema/columns.js';
import { findings, MOST_FINDINGS } from '../../../schema/findings.js';
import { notesInWords } from '../../../schema/notes.js';
import { frameAt, frameLabel } from '../../../schema/places.js';
import type { Report } from '../../../schema/report.js';
import { inShort, intervalInWords, sampledTotals } from '../../../schema/sampling.js';
import { type Line, type Phrase, headline, mappedInWords, pruningStatement, residentStatement, topLines, processesStatement, untouchedStatement } from '../../../schema/summary.js';
import { formatBytes, formatShare } from '../../../schema/units.js';

const MOST_LINES = 10;
/** Each costs about 300 bytes in the notebook. */
const MOST_FRAMES = 120;
/** A frame of less has no room for a letter, and none of its callees has. */
const SMALLEST_SHARE = 0.004;
/** Deeper levels make the picture taller than a screen. */
const MOST_LEVELS = 24;
const LEVEL_PIXELS = 21;

/** From little to much, all readable with dark text. */
const HEAT = ['#fdeaea', '#fbd9d7', '#f9c5c1', '#f6a9a4', '#f28e88', '#ee7d76'] as const;

/** The headline, a table of the top lines, and a still flamegraph. */
export function toStaticHtml(report: Report): string {
  const lines = headline(report).map((phrases) => `<div>${phrases.map(phraseHtml).join('')}</div>`);
  const pruned = pruningStatement(report);
  const resident = residentStatement(report);
  const { urgent, other } = notesInWords(report);
  const notes = [...urgent, ...other].map(({ text }) => text);
  const remarks = [...notes, ...[resident, processesStatement(report), untouchedStatement(report), pruned].filter((statement) => statement !== null)];
  const facts = findings(report)
    .slice(0, MOST_FINDINGS)
    .map(({ statement, advice, evidence }) => findingHtml(statement, `${advice} ${evidence}`));
  const title = report.title === null ? '' : `<div><b>${escapeUTF8(report.title)}</b></div>`;
  return [
    '<div>',
    title,
    ...lines,
    report.peakBytes === 0 ? '' : table(report) + flamegraph(report),
    ...facts,
    ...remarks.map((remark) => `<div style="opacity: 0.7">${escapeUTF8(remark)}</div>`),
    '</div>',
  ].join('');
}

function findingHtml(statement: string, more: string): string {
  return `<div style="margin-top: 6px"><b>${escapeUTF8(statement)}</b> ${escapeUTF8(more.trim())}</div>`;
}

/** A piece of a sentence as HTML. */
export function phraseHtml({ kind, text }: Phrase): string {
  const escaped = escapeUTF8(text);
  switch (kind) {
    case 'strong':
      return `<b>${escaped}</b>`;
    case 'soft':
      return `<span style="opacity: 0.7">${escaped}</span>`;
    case 'code':
      return `<code>${escaped}</code>`;
    case 'plain':
      return escaped;
  }
}

function table(report: Report): string {
  const rows = topLines(report, MOST_LINES).map((line) => tableRow(line, report));
  const right = 'style="text-align: right"';
  const left = 'style="text-align: left"';
  return (
    `<table><tr><td ${right}><b>At the peak</b></td><td ${right}><b>Share</b></td><td ${left}><b>Where</b></td>` +
    `<td ${left}><b>Line</b></td></tr>${rows.join('')}</table>`
  );
}

function tableRow({ frame, bytes, sampledBytes, mapped }: Line, report: Report): string {
  const { name, place } = frameLabel(frame, report.subject);
  const where = [name, place, mappedInWords(mapped)].filter((part) => part !== '').join(', ');
  const right = 'style="text-align: right; white-space: nowrap"';
  const interval = intervalInWords(bytes, sampledBytes, report.sampling);
  return (
    `<tr><td ${right}>${[formatBytes(bytes), escapeUTF8(interval)].join(' ').trimEnd()}</td><td ${right}>${escapeUTF8(formatShare(bytes, report.peakBytes))}</td>` +
    `<td style="text-align: left">${escapeUTF8(where)}</td>` +
    `<td style="text-align: left">${frame.sourceLine && `<code>${escapeUTF8(frame.sourceLine)}</code>`}</td></tr>`
  );
}

/** A frame's place in the picture, in parts of its width. */
interface Box {
  readonly node: number;
  readonly level: number;
  readonly left: number;
  readonly width: number;
}

function flamegraph(report: Report): string {
  const boxes = layout(report);
  const levels = boxes.reduce((most, box) => Math.max(most, box.level + 1), 0);
  return (
    '<div style="margin-top: 6px">Call stacks at the peak: wider and redder frames held more memory</div>' +
    `<div style="position: relative; overflow: hidden; height: ${levels * LEVEL_PIXELS}px">${lists(boxes, report)}</div>`
  );
}

/** As lists within lists: where inline styles are removed, as on GitHub, they are a tree that can be read. */
function lists(boxes: readonly Box[], report: Report): string {
  const sampled = sampledTotals(report);
  let html = '';
  let level = -1;
  for (const box of boxes) {
    html +=
      box.level > level ? '<ul style="list-style: none; margin: 0; padding: 0">' : `</li>${'</ul></li>'.repeat(level - box.level)}`;
    html += `<li>${frameBox(box, report, sampled)}`;
    level = box.level;
  }
  return html + '</li></ul>'.repeat(level + 1);
}

/** The frames with most bytes, placed below their callers. */
function layout(report: Report): Box[] {
  const { parent, totalBytes } = report.tree;
  const candidates = totalBytes
    .map((_, node) => node)
    .filter((node) => at(totalBytes, node) >= SMALLEST_SHARE * report.peakBytes)
    .sort((a, b) => at(totalBytes, b) - at(totalBytes, a) || a - b)
    .slice(0, MOST_FRAMES);
  const boxes = new Map<number, Box>();
  /** Where the next callee of a node begins. */
  const free = new Map<number, number>();
  // In pre-order, so that callees stand from most to least from the left. A caller has no fewer bytes, so it is among the candidates.
  for (const node of candidates.sort((a, b) => a - b)) {
    const caller = boxes.get(at(parent, node));
    if (node > 0 && caller === undefined) {
      continue;
    }
    const level = caller === undefined ? 0 : caller.level + 1;
    if (level >= MOST_LEVELS) {
      continue;
    }
    const left = free.get(at(parent, node)) ?? 0;
    const width = at(totalBytes, node) / report.peakBytes;
    boxes.set(node, { node, level, left, width });
    free.set(at(parent, node), left + width);
    free.set(node, left);
  }
  return [...boxes.values()];
}

function frameBox({ node, level, left, width }: Box, report: Report, sampled: Float64Array | null): string {
  const bytes = at(report.tree.totalBytes, node);
  const { name, place, source } = frameLabel(frameAt(report, at(report.tree.frame, node)), report.subject);
  const text = [name, place, source, inShort(formatBytes(bytes), report.sampling)].filter((part) => part !== '').join('  ');
  const interval = intervalInWords(bytes, sampled?.[node] ?? 0, report.sampling);
  const hover = [text, formatShare(bytes, report.peakBytes), interval].filter((part) => part !== '').join(' · ');
  const style = [
    'position: absolute',
    `left: ${percent(left)}`,
    `top: ${level * LEVEL_PIXELS}px`,
    `width: ${percent(width)}`,
    `height: ${LEVEL_PIXELS - 1}px`,
    'box-sizing: border-box',
    'border-left: 1px solid #b3322b',
    'padding-left: 4px',
    'overflow: hidden',
    'white-space: nowrap',
    'font-size: 11px',
    'line-height: 20px',
    `background: ${heat(width)}`,
    'color: #1f2328',
  ];
  return `<div title="${escapeUTF8(hover)}" style="${style.join('; ')}">${escapeUTF8(text)}</div>`;
}

/** Square root, as most frames have a small share. */
function heat(share: number): string {
  return HEAT[Math.min(HEAT.length - 1, Math.floor(Math.sqrt(share) * HEAT.length))] ?? HEAT[0];
}

function percent(part: number): string {
  return `${(100 * part).toFixed(2)}%`;
}

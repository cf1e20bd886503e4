/** A report in speedscope's own file format (https://www.speedscope.app/file-format-schema.json). */
import { frameAt, frameInFull } from '../../../schema/places.js';
import type { Report } from '../../../schema/report.js';
import { samplingRemarks } from './sampling-remarks.js';
import { ownBytes, stacksOf } from './stacks.js';

const SCHEMA = 'https://www.speedscope.app/file-format-schema.json';

/** The file in pieces. A sample is a call stack, its weight the bytes that its innermost line held at the peak. */
export function* speedscopeJson(report: Report, title: string): Generator<string> {
  const { frames, producer, peakBytes } = report;
  const described = frames.kind.map((kind, row) => {
    const { file, line, function: name } = frameAt(report, row);
    return kind === 'python'
      ? { name, file, ...(line > 0 ? { line } : {}) }
      : { name: frameInFull(frameAt(report, row)) };
  });
  const head = {
    $schema: SCHEMA,
    name: title,
    exporter: `filprofiler@${producer.version}`,
    activeProfileIndex: 0,
    shared: { frames: described },
  };
  const name = [title, ...samplingRemarks(report)].join(' · ');
  const profile = { type: 'sampled', name, unit: 'bytes', startValue: 0, endValue: peakBytes };
  yield `${JSON.stringify(head).slice(0, -1)},"profiles":[${JSON.stringify(profile).slice(0, -1)},"samples":[`;
  let separator = '';
  for (const { rows } of stacksOf(report)) {
    yield `${separator}[${rows.join(',')}]`;
    separator = ',';
  }
  yield '],"weights":[';
  separator = '';
  for (const bytes of ownBytes(report)) {
    if (bytes > 0) {
      yield `${separator}${bytes}`;
      separator = ',';
    }
  }
  yield ']}]}\n';
}


/** A report in pprof's format (https://github.com/google/pprof/blob/main/proto/profile.proto), as `go tool pprof` reads it. */
import { gzipSync } from 'node:zlib';
import { Function, Line, Location, Profile, Sample, StringTable, ValueType } from 'pprof-format';
import { frameAt, frameInFull } from '../../../schema/places.js';
import type { Report } from '../../../schema/report.js';
import { samplingRemarks } from './sampling-remarks.js';
import { stacksOf } from './stacks.js';

/** In nanoseconds, which a double doesn't hold exactly. */
const NANOSECONDS_A_MILLISECOND = 1_000_000n;

/** The file, compressed. Its one value is `inuse_space` in bytes, as of Go's heap profiles. */
export function toPprof(report: Report, title: string): Uint8Array {
  const strings = new StringTable();
  const text = (value: string): number => strings.dedup(value);
  const inUse = new ValueType({ type: text('inuse_space'), unit: text('bytes') });
  const functionOf = new Map<string, Function>();
  const locations = report.frames.kind.map((kind, row) => {
    const frame = frameAt(report, row);
    const name = kind === 'python' ? frame.function : frameInFull(frame);
    const key = `${name}\n${frame.file}`;
    let its = functionOf.get(key);
    if (its === undefined) {
      its = new Function({
        id: functionOf.size + 1,
        name: text(name),
        // Another than the name: else pprof takes that for a mangled name of C++, and cuts off what is in angle brackets.
        systemName: text(`${frame.file}:${name}`),
        filename: text(frame.file),
      });
      functionOf.set(key, its);
    }
    return new Location({ id: row + 1, line: [new Line({ functionId: its.id, line: frame.line })] });
  });
  const samples: Sample[] = [];
  for (const { rows, bytes } of stacksOf(report)) {
    // Innermost first.
    samples.push(new Sample({ locationId: rows.map((row) => row + 1).reverse(), value: [bytes] }));
  }
  const profile = new Profile({
    sampleType: [inUse],
    sample: samples,
    location: locations,
    function: [...functionOf.values()],
    stringTable: strings,
    timeNanos: BigInt(Date.parse(report.startedAt) || 0) * NANOSECONDS_A_MILLISECOND,
    durationNanos: BigInt(Math.round(report.durationSeconds * 1000)) * NANOSECONDS_A_MILLISECOND,
    periodType: inUse,
    // As of Go's heap profiles, where one byte in so many was sampled.
    period: report.sampling?.meanBytes ?? 1,
    comment: [title, ...samplingRemarks(report)].map(text),
  });
  return gzipSync(profile.encode());
}

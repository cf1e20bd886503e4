import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { REPORT_VERSION } from '../../../schema/report.js';
import { CommandFailure } from '../../src/commands/failure.js';
import { readReport } from '../../src/commands/read-report.js';

const TEXT = readFileSync(new URL('../../../schema/fixtures/small.json', import.meta.url), 'utf8');

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'read-report-test-'));
});
afterEach(() => {
  rmSync(directory, { recursive: true });
});

function stored(text: string | Buffer): string {
  const file = join(directory, 'profile.json');
  writeFileSync(file, text);
  return file;
}

function failureOf(path: string): CommandFailure {
  try {
    readReport(path);
  } catch (error) {
    expect(error).toBeInstanceOf(CommandFailure);
    return error as CommandFailure;
  }
  throw new Error('The report was read.');
}

describe('a report is read', () => {
  test('from its file or its directory', () => {
    const file = stored(TEXT);
    expect(readReport(file).report).toEqual(JSON.parse(TEXT));
    expect(readReport(directory)).toEqual({ ...readReport(file), name: directory });
  });

  test('of running out of memory as such', () => {
    stored(TEXT);
    expect(readReport(directory).moment).toBe('peak');
    writeFileSync(join(directory, 'out-of-memory.prof'), '');
    expect(readReport(directory).moment).toBe('out-of-memory');
  });

  test('with its texts made harmless for terminals', () => {
    const file = stored(TEXT.replaceAll('helpers.py', 'helpers\\u001b]0;gotcha\\u0007\\n.py'));
    expect(readReport(file).report.frames.file.join()).toContain('helpers\ufffd]0;gotcha\ufffd\ufffd.py');
  });
});

describe('one sentence and a status tell that', () => {
  test('there is no such file', () => {
    const path = join(directory, 'nothing');
    expect(failureOf(path)).toMatchObject({ message: `${path} does not exist.`, status: 2 });
  });

  test('a directory has no report, and which of those below it has', () => {
    mkdirSync(join(directory, '2026-11-22'));
    expect(failureOf(directory)).toMatchObject({
      message: expect.stringContaining('has no profile.json') as string,
      status: 2,
    });
    writeFileSync(join(directory, '2026-11-22', 'profile.json'), TEXT);
    expect(failureOf(directory).message).toContain(`such as ${join(directory, '2026-11-22')}.`);
  });

  test('it is a pipe, without waiting for a writer', () => {
    const pipe = join(directory, 'pipe');
    execFileSync('mkfifo', [pipe]);
    expect(failureOf(pipe)).toMatchObject({ message: expect.stringContaining('no regular file') as string, status: 2 });
  });

  test('it is of a newer version', () => {
    const newer = { ...(JSON.parse(TEXT) as object), version: REPORT_VERSION + 1 };
    const { message, status } = failureOf(stored(JSON.stringify(newer)));
    expect(message).toContain(`has version ${REPORT_VERSION + 1}`);
    expect(message).toContain('Update filprofiler');
    expect(status).toBe(1);
  });

  test.each([
    ['cut off', TEXT.slice(0, 700), 'cut off or damaged after 700 bytes'],
    ['empty', '', 'not a report: it is not JSON'],
    ['a picture', Buffer.from('89504e470d0a1a0a', 'hex'), 'not a report: it is not JSON'],
    ['other JSON', '{"a": 1}', 'not a readable Fil report'],
    ['a list', '[]', 'not a readable Fil report'],
  ])('it is %s', (_, content, reason) => {
    const { message, status } = failureOf(stored(content));
    expect(message).toContain(reason);
    expect(message).not.toContain('\n');
    expect(status).toBe(1);
  });

  test('its bytes do not add up, or its rows are not in order', () => {
    const report = JSON.parse(TEXT) as { peakBytes: number; tree: { selfBytes: number[]; parent: number[] } };
    const last = report.tree.selfBytes.length - 1;
    const changed = structuredClone(report);
    changed.tree.selfBytes[last] = (changed.tree.selfBytes[last] ?? 0) + 1;
    expect(failureOf(stored(JSON.stringify(changed))).message).toContain('damaged');
    expect(failureOf(stored(JSON.stringify({ ...report, peakBytes: report.peakBytes + 1 }))).message).toContain(
      'damaged',
    );
  });
});

test('whatever happens to its bytes, a report is read or refused in one sentence', () => {
  const bytes = Buffer.from(TEXT);
  fc.assert(
    fc.property(
      fc.nat(bytes.length - 1),
      fc.nat(bytes.length),
      fc.uint8Array({ maxLength: 8 }),
      (start, length, inserted) => {
        const file = stored(Buffer.concat([bytes.subarray(0, start), inserted, bytes.subarray(start + length)]));
        try {
          readReport(file);
        } catch (error) {
          expect(error).toBeInstanceOf(CommandFailure);
          expect((error as CommandFailure).message).not.toContain('\n');
        }
      },
    ),
    { numRuns: 300 },
  );
});

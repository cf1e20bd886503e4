import { setTimeout as sleep } from 'node:timers/promises';
import { gunzipSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { ControlRequest, EndedCell } from '../../schema/control.js';
import { parseReport, type Report, REPORT_MIME_TYPE, ReportEnvelope } from '../../schema/report.js';
import type { SampledCell, SampledNews } from '../../schema/sampled-cell.js';
import { SampledCells } from '../src/sampled-cells.js';
import { Session } from '../src/session.js';
import { cellSnapshot } from './cell-snapshot.js';

/** Line 2 of the cell holds 3 MB at the peak, 2 MB of it estimated, and 2 MB in the end, 1 MB of it estimated. */
const SNAPSHOT = cellSnapshot(3_000_000, 2_000_000, {
  session: 5,
  sampling: {
    meanBytes: 65_536,
    exactFromBytes: 32_768,
    peakSiteBytes: Float64Array.of(0, 2_000_000),
    currentExactBytes: 1_000_000,
  },
});
const NO_CODES = { filename: [], qualifiedName: [], firstLine: Int32Array.of(), kind: [] };
const DIED = { kind: 'died', exitCode: null, signal: 'SIGKILL' } as const;

const news: SampledNews[] = [];
let snapshot = SNAPSHOT;
let sampled: SampledCells;
let session: Session;

beforeEach(() => {
  news.length = 0;
  snapshot = SNAPSHOT;
  const segment = {
    counters: () => ({ ...snapshot, sharedBytes: 0 }),
    snapshot: () => snapshot,
    codes: () => NO_CODES,
    peakLines: () => ({ code: Uint32Array.of(), line: Int32Array.of(), bytes: Float64Array.of() }),
  };
  sampled = new SampledCells({ segment, pid: process.pid, tell: (said) => news.push(said) });
  session = new Session({ segment, pid: process.pid, version: '1.2.3', sampled });
});

// It may still watch.
afterEach(() => sampled.farewell());

function endedCell(cellId: string, number: number | null): EndedCell {
  return {
    subject: { kind: 'cell', executionCount: 7, cellId },
    parentHeader: { msg_id: cellId },
    outcome: 'completed',
    seconds: 2.5,
    session: number,
  };
}

async function end(...ended: EndedCell[]): Promise<void> {
  const cells = [{ filename: '/tmp/cell.py', executionCount: 7, source: 'x = 1\ny = load()' }];
  const request: ControlRequest = { type: 'sampled', id: 3, ended, cells };
  expect(await session.handle(request)).toEqual({ type: 'ok', id: 3 });
}

function cellsTold(): SampledCell[] {
  return news.filter((said) => said.kind === 'cell');
}

function reportsTold(): (Report | null)[] {
  return news
    .filter((said) => said.kind === 'report')
    .map(({ bundle }) => {
      if (bundle === null) {
        return null;
      }
      const { data } = ReportEnvelope.parse(bundle[REPORT_MIME_TYPE]);
      return parseReport(JSON.parse(gunzipSync(Buffer.from(data, 'base64')).toString('utf8')));
    });
}

describe('a sampled cell', () => {
  test('is told with its figures, and what of them is estimated', async () => {
    await end(endedCell('a', 5));
    expect(news).toHaveLength(1);
    expect(news[0]).toMatchObject({
      kind: 'cell',
      cellId: 'a',
      executionCount: 7,
      peakBytes: 3_000_000,
      peakSampledBytes: 2_000_000,
      keptBytes: 2_000_000,
      keptSampledBytes: 1_000_000,
      durationSeconds: 2.5,
      meanBytes: 65_536,
      hasReport: true,
    });
  });

  test('has a report for who asks, of the moment when it ended', async () => {
    await end(endedCell('a', 5));
    snapshot = { ...SNAPSHOT, session: 6, peakSiteBytes: Float64Array.of(0, 1) };
    await sampled.show(cellsTold()[0]?.serial ?? 0);
    expect(reportsTold()[0]).toMatchObject({
      peakBytes: 3_000_000,
      sampling: { retainedSampledBytes: 1_000_000 },
      outcome: { kind: 'completed' },
    });
    expect(reportsTold()[0]?.frames.file).toContain('Cell [7]');
  });

  test('in which nothing was seen is told without one, and the tables are not read for it', async () => {
    await end(endedCell('a', null), endedCell('b', null));
    expect(cellsTold().map(({ cellId, peakBytes, hasReport }) => [cellId, peakBytes, hasReport])).toEqual([
      ['a', 0, false],
      ['b', 0, false],
    ]);
  });

  test('whose figures the next has written over is not told with those of the next', async () => {
    await end(endedCell('a', 4));
    expect(news).toEqual([]);
  });

  test('takes the place of an earlier run of the same cell', async () => {
    await end(endedCell('a', 5));
    await end(endedCell('a', 5));
    const [first, second] = cellsTold();
    await sampled.show(first?.serial ?? 0);
    await sampled.show(second?.serial ?? 0);
    expect(reportsTold().map((report) => report?.peakBytes)).toEqual([undefined, 3_000_000]);
  });

  test('is told again to a page that comes later', async () => {
    await end(endedCell('a', 5));
    sampled.repeat();
    expect(cellsTold().map(({ serial, isRepeated }) => [serial, isRepeated])).toEqual([
      [1, false],
      [1, true],
    ]);
  });

  test('is no profile that anybody waits for: no words about memory', async () => {
    snapshot = { ...SNAPSHOT, state: 'tracking' };
    sampled.follow(false);
    expect(session.running).toBeNull();
    expect(await session.handle({ type: 'shortage', id: 5 })).toMatchObject({ topLines: [] });
  });

  test('is watched while it runs, so that its memory over time is known', async () => {
    snapshot = { ...SNAPSHOT, state: 'tracking' };
    sampled.follow(false);
    await sleep(80);
    snapshot = SNAPSHOT;
    await end(endedCell('a', 5));
    await sampled.show(1);
    expect(reportsTold()[0]?.timeline.bytes[0]).toBe(2_000_000);
    expect(reportsTold()[0]?.resident?.peakBytes).toBeGreaterThan(1_000_000);
  });
});

describe('a process that dies', () => {
  const LAST = { header: { msg_id: 'x' }, cellId: 'a', executionCount: 3, code: 'first\nsecond' };

  test('has what its sampled cell held told, with the report and the source that the front end knows', async () => {
    snapshot = { ...SNAPSHOT, state: 'tracking' };
    await sampled.died(DIED, LAST, session);
    expect(cellsTold()[0]).toMatchObject({ cellId: 'a', executionCount: 3, peakBytes: 3_000_000 });
    expect(reportsTold()[0]).toMatchObject({ outcome: { kind: 'died', signal: 'SIGKILL' } });
    expect(reportsTold()[0]?.frames.sourceLine).toContain('second');
  });

  test('says nothing where no cell was sampled', async () => {
    await sampled.died(DIED, LAST, session);
    expect(news).toEqual([]);
  });

  test('leaves the reports that nobody can ask for any more, the latest first', async () => {
    await end(endedCell('a', 5));
    await end(endedCell('b', 5), endedCell('c', null));
    news.length = 0;
    await sampled.farewell();
    expect(news.map((said) => said.kind === 'report' && said.serial)).toEqual([2, 1]);
  });
});

test('what is held is bounded: the oldest reports go', async () => {
  const large = new Float64Array(20_000).fill(1);
  const columns = {
    code: new Uint32Array(20_000).fill(0),
    parent: new Uint32Array(20_000),
    line: new Int32Array(20_000),
  };
  const sampling = { meanBytes: 65_536, exactFromBytes: 32_768, peakSiteBytes: large, currentExactBytes: 0 };
  snapshot = { ...SNAPSHOT, ...columns, siteCount: 20_000, peakSiteBytes: large, currentSiteBytes: large, sampling };
  for (const cell of ['a', 'b', 'c', 'd', 'e']) {
    await end(endedCell(cell, 5));
  }
  await sampled.show(1);
  await sampled.show(5);
  expect(reportsTold()[0]).toBeNull();
  expect(reportsTold()[1]?.peakBytes).toBe(20_000);
});

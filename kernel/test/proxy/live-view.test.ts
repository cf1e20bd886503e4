import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { LIVE_MIME_TYPE, LiveProfile } from '../../../schema/live.js';
import { type CellOutput, LiveView, type LiveViewOptions } from '../../src/proxy/live-view.js';
import { parseObject, Signer } from '../../src/proxy/wire.js';

const signer = new Signer('key');
const HEADER = { msg_id: 'the-request-of-the-cell', session: 'client' };
const RUNNING = {
  type: 'begin' as const,
  id: 1,
  subject: { kind: 'cell' as const, executionCount: 1, cellId: null },
  title: null,
  cells: [],
  parentHeader: HEADER,
  outputDirectory: null,
  live: true,
};

/** What a cell shows, without the rules of a real one: the first display stays. */
class Output implements CellOutput {
  readonly said: { readonly type: unknown; readonly parent: unknown; readonly content: Record<string, unknown> }[] = [];
  followed: string | null = null;
  shownInCell = 0;

  followCell(requestId: string): void {
    this.followed = requestId;
  }
  showInCell({ serial, display }: Parameters<CellOutput['showInCell']>[0]): void {
    this.shownInCell = serial;
    this.#take(display);
  }
  updateInCell(_: number, frames: readonly Buffer[]): void {
    this.#take(frames);
  }
  leaveCell(): void {
    this.followed = null;
    this.shownInCell = 0;
  }

  #take(frames: readonly Buffer[]): void {
    const [header, parent, , content] = frames.slice(3).map(parseObject);
    this.said.push({ type: header?.['msg_type'], parent, content: { ...content } });
  }
}

let elapsedSeconds = 1;
let costMs = 0;
let now = 0;
let running: LiveViewOptions['session']['running'];
let output: Output;
let view: LiveView;

beforeEach(() => {
  vi.useFakeTimers();
  elapsedSeconds = 1;
  costMs = 0;
  now = 0;
  vi.spyOn(performance, 'now').mockImplementation(() => now);
  running = RUNNING;
  output = new Output();
  view = new LiveView({
    session: {
      get running() {
        return running;
      },
      progress: () => {
        now += costMs;
        return {
          version: 1,
          title: null,
          subject: RUNNING.subject,
          elapsedSeconds,
          currentBytes: 1,
          peakBytes: 2,
          lines: [],
          timeline: { seconds: [], bytes: [] },
        };
      },
    },
    signer,
    display: output,
    headerOf: () => undefined,
  });
  view.follow();
});
afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

const types = () => output.said.map(({ type }) => type);

describe('the live view', () => {
  test('comes after a while, as an answer to the cell’s request, and goes on twice a second', () => {
    vi.advanceTimersByTime(700);
    expect(output.said).toEqual([]);
    vi.advanceTimersByTime(1600);
    expect(types()).toEqual(['display_data', 'update_display_data', 'update_display_data', 'update_display_data']);
    expect(output.said.map(({ parent }) => parent)).toEqual(output.said.map(() => HEADER));
    expect(new Set(output.said.map(({ content }) => JSON.stringify(content['transient']))).size).toBe(1);
    const data = output.said[0]?.content['data'] as Record<string, unknown>;
    expect(LiveProfile.parse(data[LIVE_MIME_TYPE])).toMatchObject({ phase: 'running', nextSeconds: 0.5 });
  });

  test('is another display when the first one had to go', () => {
    vi.advanceTimersByTime(800);
    output.shownInCell = 0;
    vi.advanceTimersByTime(500);
    expect(types()).toEqual(['display_data', 'display_data']);
    expect(new Set(output.said.map(({ content }) => JSON.stringify(content['transient']))).size).toBe(2);
  });

  test('of a program with so many call sites that looking at them takes long comes less often', () => {
    costMs = 60;
    vi.advanceTimersByTime(10_000);
    expect(output.said.length).toBeGreaterThan(1);
    expect(output.said.length).toBeLessThanOrEqual(5);
  });

  test('comes less often when a cell runs for long', () => {
    elapsedSeconds = 3600;
    vi.advanceTimersByTime(13_000);
    expect(types()).toEqual(['display_data', 'update_display_data', 'update_display_data']);
  });

  test('says that the report is being made, and goes when there is one', () => {
    vi.advanceTimersByTime(1000);
    view.reporting();
    expect(output.said.at(-1)?.content['data']).toMatchObject({ [LIVE_MIME_TYPE]: { phase: 'reporting' } });
    running = null;
    view.follow();
    expect(output.followed).toBeNull();
    const { length } = output.said;
    vi.advanceTimersByTime(5000);
    expect(output.said).toHaveLength(length);
  });

  test('is not there where it is not wanted', () => {
    running = { ...RUNNING, live: false };
    view.follow();
    vi.advanceTimersByTime(5000);
    expect(output.said).toEqual([]);
    expect(output.followed).toBeNull();
  });
});

import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { Timeline } from '../src/timeline.js';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

describe('the timeline', () => {
  test('has at most 500 points however long it takes, over the whole time', () => {
    let reads = 0;
    const timeline = new Timeline(() => ({ state: 'tracking', currentBytes: reads++ }));
    vi.advanceTimersByTime(3_600_000);
    const { seconds, bytes } = timeline.stop();
    expect(seconds.length).toBeLessThanOrEqual(500);
    expect(seconds.length).toBeGreaterThan(200);
    expect(seconds).toEqual([...seconds].sort((a, b) => a - b));
    expect(seconds.at(-1)).toBeGreaterThan(3500);
    expect(bytes).toEqual([...bytes].sort((a, b) => a - b));
    expect(reads).toBeLessThan(6000);
  });

  test('has no points before the process tracks', () => {
    const timeline = new Timeline(() => ({ state: 'attached', currentBytes: 1 }));
    vi.advanceTimersByTime(1000);
    expect(timeline.stop()).toEqual({ seconds: [], bytes: [] });
  });

  test('reads nothing once it is stopped', () => {
    const read = vi.fn(() => ({ state: 'tracking' as const, currentBytes: 1 }));
    new Timeline(read).stop();
    vi.advanceTimersByTime(1000);
    expect(read).not.toHaveBeenCalled();
  });
});

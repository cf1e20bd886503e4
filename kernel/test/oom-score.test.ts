import { describe, expect, it } from 'vitest';
import { advantageIn } from '../src/oom-score.js';

describe('the advantage over the program', () => {
  it('is worth what we weigh in a small container, and never makes us immortal', () => {
    for (const limitBytes of [100e6, 150e6, 250e6]) {
      expect((advantageIn(limitBytes) / 1000) * limitBytes).toBeCloseTo(80e6, -6);
    }
    expect(advantageIn(64 * 2 ** 20)).toBe(900);
    expect(advantageIn(64 * 2 ** 30)).toBe(300);
  });
});

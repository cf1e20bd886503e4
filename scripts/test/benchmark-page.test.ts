import { expect, test } from 'vitest';
import { otherParts, withPart } from '../lib/benchmark-page.mjs';

const OWN = '# Benchmarks\n\nTimes.\n';

test('parts of the page are written in their order, each in place of its last text, and leave the others alone', () => {
  const lab = withPart(OWN, 'lab', '## Lab\n\n1');
  const both = withPart(lab, 'kernel', '## Kernel\n\n2');
  expect(both).toBe('# Benchmarks\n\nTimes.\n\n<!-- kernel -->\n\n## Kernel\n\n2\n\n<!-- lab -->\n\n## Lab\n\n1\n');
  expect(withPart(both, 'lab', '## Lab\n\n3')).toBe(both.replace('1\n', '3\n'));
  expect(withPart(both, 'kernel', '## Kernel\n\n4')).toBe(both.replace('2\n', '4\n'));
});

test('who writes the rest of the page keeps the parts', () => {
  const both = withPart(withPart(OWN, 'lab', 'a'), 'kernel', 'b');
  expect(OWN + otherParts(both)).toBe(both);
  expect(otherParts(OWN)).toBe('');
});

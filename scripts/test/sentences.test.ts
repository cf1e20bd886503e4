import { expect, test } from 'vitest';
import { catalog, sentences } from '../lib/sentences.mjs';

const all = sentences();

test('what readers see is said literally, so that translators find it, but for the kernel notes', () => {
  expect(all.length).toBeGreaterThan(150);
  const others = all.filter(({ text }) => text === null).map(({ place }) => place.replace(/:\d+$/, ''));
  expect(others.filter((file) => file !== 'labextension/src/view/report-view.ts')).toEqual([]);
});

test('a sentence has as many places as it is given values', () => {
  const wrong = all.filter(({ text, values }) => text !== null && new Set(text.match(/%\d/g)).size !== values);
  expect(wrong).toEqual([]);
});

test('the catalog has each sentence once, with where it stands', () => {
  const ids = catalog().match(/^msgid .+$/gm) ?? [];
  expect(new Set(ids).size).toBe(ids.length);
  expect(catalog()).toMatch(/#: schema\/summary\.ts:\d+\nmsgid "Peak %1"/);
});

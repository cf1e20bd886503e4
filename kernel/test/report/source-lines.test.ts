import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { SourceLines } from '../../src/report/source-lines.js';

let folder: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'fil-source-lines-'));
});

afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

function lineOf(content: string | Buffer, line: number): string {
  writeFileSync(join(folder, 'code.py'), content);
  return new SourceLines(folder).line('code.py', line);
}

test('relative files are read from the working directory, absolute ones as they are', () => {
  writeFileSync(join(folder, 'a.py'), 'first\nsecond');
  expect(new SourceLines(folder).line('a.py', 2)).toBe('second');
  expect(new SourceLines('/').line(join(folder, 'a.py'), 1)).toBe('first');
});

test('lines end as Python ends them, and a form feed ends none', () => {
  expect(lineOf('1\r\n2\r3\n4\f4\u20284\n5', 4)).toBe('4\f4\u20284');
  expect(lineOf('1\r\n2\r3\n4\f4\n5', 5)).toBe('5');
});

test('a line that the file does not have is empty', () => {
  expect(lineOf('one', 2)).toBe('');
  expect(lineOf('one', 0)).toBe('');
});

test('declared encodings are used', () => {
  expect(lineOf(Buffer.from('# -*- coding: iso-8859-1 -*-\nname = "caf\xe9"\n', 'latin1'), 2)).toBe('name = "café"');
  expect(
    lineOf(
      Buffer.concat([Buffer.from('#!/usr/bin/python\n# vim: set fileencoding=cp1251 :\n'), Buffer.from([0xe4, 0xe0])]),
      3,
    ),
  ).toBe('да');
});

test('a byte order mark is not part of the first line', () => {
  expect(lineOf('\ufeffx = 1', 1)).toBe('x = 1');
});

test('text that is in no known encoding keeps its ASCII', () => {
  expect(lineOf(Buffer.from('# coding: klingon\nx = "\xff\xfe"', 'latin1'), 2)).toBe('x = "ÿþ"');
});

test('binary data has no lines', () => {
  expect(lineOf(Buffer.from([0x41, 0x0a, 0, 1, 2]), 1)).toBe('');
});

test('what is no regular file, too large or gone has no lines, and a pipe does not block', () => {
  const sources = new SourceLines(folder);
  execFileSync('mkfifo', [join(folder, 'pipe.py')]);
  mkdirSync(join(folder, 'folder.py'));
  writeFileSync(join(folder, 'huge.py'), 'x');
  truncateSync(join(folder, 'huge.py'), 2 ** 40);
  for (const name of ['pipe.py', 'folder.py', 'huge.py', 'gone.py', '/dev/zero', 'nul\0.py', '<string>', '']) {
    expect(sources.line(name, 1)).toBe('');
  }
});

test('a file is read once for all its lines', () => {
  const sources = new SourceLines(folder);
  writeFileSync(join(folder, 'once.py'), 'before');
  expect(sources.line('once.py', 1)).toBe('before');
  writeFileSync(join(folder, 'once.py'), 'after');
  expect(sources.line('once.py', 1)).toBe('before');
});

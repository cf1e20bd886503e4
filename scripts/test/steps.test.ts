import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { shippedPackages } from '../lib/audit.mjs';
import { geometricMean } from '../lib/benchmark.mjs';
import { fingerprint } from '../lib/steps.mjs';

describe('the stamp of a step', () => {
  let root = '';
  const step = { inputs: ['native', 'missing.txt'], facts: () => ['1.0'] };

  beforeEach(() => {
    root = mkdtempSync(path.join(tmpdir(), 'fil-steps-'));
    mkdirSync(path.join(root, 'native', '__pycache__'), { recursive: true });
    writeFileSync(path.join(root, 'native', 'a.cpp'), 'int a;');
  });
  afterEach(() => {
    rmSync(root, { recursive: true });
  });

  it('stays the same if nothing changes', () => {
    expect(fingerprint(step, root)).toBe(fingerprint(step, root));
  });

  it('changes with the content of an input', () => {
    const before = fingerprint(step, root);
    writeFileSync(path.join(root, 'native', 'a.cpp'), 'int b;');
    expect(fingerprint(step, root)).not.toBe(before);
  });

  it('changes if text moves from one file to another', () => {
    const before = fingerprint(step, root);
    writeFileSync(path.join(root, 'native', 'a.cpp'), 'int');
    writeFileSync(path.join(root, 'native', 'b.cpp'), ' a;');
    expect(fingerprint(step, root)).not.toBe(before);
  });

  it('changes with a missing input that appears', () => {
    const before = fingerprint(step, root);
    writeFileSync(path.join(root, 'missing.txt'), '');
    expect(fingerprint(step, root)).not.toBe(before);
  });

  it('changes with a fact', () => {
    expect(fingerprint({ ...step, facts: () => ['1.1'] }, root)).not.toBe(fingerprint(step, root));
  });

  it('does not depend on what programs leave behind', () => {
    const before = fingerprint(step, root);
    writeFileSync(path.join(root, 'native', '__pycache__', 'a.pyc'), 'x');
    expect(fingerprint(step, root)).toBe(before);
  });
});

describe('the audit', () => {
  it('asks about what the bundles contain: not about tools, nor about what Lab brings', () => {
    const lock = {
      packages: {
        '': { dependencies: { zeromq: '^6', '@jupyterlab/cells': '~4' } },
        'node_modules/zeromq': { dependencies: { 'node-addon-api': '^8' } },
        'node_modules/node-addon-api': {},
        'node_modules/@jupyterlab/cells': { dependencies: { marked: '^9' } },
        'node_modules/eslint': {},
      },
    };
    expect([...shippedPackages(lock)].sort()).toEqual(['node-addon-api', 'zeromq']);
  });
});

describe('the mean of ratios', () => {
  it('is geometric: twice as slow and twice as fast cancel out', () => {
    expect(geometricMean([2, 0.5])).toBeCloseTo(1, 12);
  });
});

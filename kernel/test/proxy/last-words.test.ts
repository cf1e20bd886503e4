import { constants } from 'node:os';
import { describe, expect, test } from 'vitest';
import { exitCodeOf, lastWords, outcomeOf } from '../../src/proxy/last-words.js';

const killed = { kind: 'signalled', signal: 'SIGKILL' } as const;
const exited = { kind: 'exited', code: 3 } as const;

describe('how a kernel died', () => {
  test('is said in plain language', () => {
    expect(lastWords(killed, false)).toContain('memory ran out');
    expect(lastWords(exited, false)).toContain('exit status 3');
    expect(lastWords({ kind: 'signalled', signal: 'SIGPIPE' }, false)).toContain('SIGPIPE');
  });

  test('points at the report if there is one', () => {
    expect(lastWords(killed, true)).toContain('report below');
    expect(lastWords(killed, false)).not.toContain('report');
  });

  test('is the proxy’s own exit status, as a shell counts it', () => {
    expect(exitCodeOf(exited, constants.signals)).toBe(3);
    expect(exitCodeOf(killed, constants.signals)).toBe(137);
  });

  test('is in the report', () => {
    expect(outcomeOf(killed)).toEqual({ kind: 'died', exitCode: null, signal: 'SIGKILL' });
    expect(outcomeOf(exited)).toEqual({ kind: 'died', exitCode: 3, signal: null });
  });
});

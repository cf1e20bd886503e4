import { describe, expect, it } from 'vitest';
import { countJunit, countPlaywright, countVitest } from '../lib/results.mjs';

describe('counts of the test runners', () => {
  it('pytest: failures and errors fail, skipped tests count as neither', () => {
    const xml = `<testsuites><testsuite name="pytest" tests="4">
      <testcase classname="t" name="test_ok" time="0.1" />
      <testcase classname="t" name="test_a[x &gt; 1]" time="0.1"><failure message="a > b">text</failure></testcase>
      <testcase classname="t" name="test_setup"><error message="no">text</error></testcase>
      <testcase classname="t" name="test_off"><skipped message="why"/></testcase></testsuite></testsuites>`;
    expect(countJunit(xml)).toEqual({ passed: 1, failed: 2, failures: ['test_a[x > 1]', 'test_setup'] });
  });

  it('ctest: a test that passed has its output inside, one that failed says so in its status', () => {
    const xml = `<testsuite name="x"><testcase name="ledger" classname="ledger" time="0.01" status="run"><system-out>ok</system-out></testcase>
      <testcase name="ranges" classname="ranges" time="1" status="fail"><failure message=""/><system-out>no</system-out></testcase></testsuite>`;
    expect(countJunit(xml)).toEqual({ passed: 1, failed: 1, failures: ['ranges'] });
  });

  it('vitest: a file that could not be loaded counts as a failure', () => {
    const report = {
      testResults: [
        { name: 'a.ts', status: 'passed', assertionResults: [{ fullName: 'one', status: 'passed' }] },
        { name: 'b.ts', status: 'failed', message: 'no such module\nstack', assertionResults: [] },
      ],
    };
    expect(countVitest(report)).toEqual({ passed: 1, failed: 1, failures: ['b.ts: no such module'] });
  });

  it('Playwright: nested suites and errors outside of tests are counted', () => {
    const report = {
      errors: [{ message: 'server did not start\nmore' }],
      suites: [
        {
          title: 'file',
          suites: [{ title: 'group', specs: [{ title: 'opens', ok: true, tests: [{ status: 'expected' }] }] }],
          specs: [{ title: 'zooms', ok: false, tests: [{ status: 'unexpected' }] }],
        },
      ],
    };
    expect(countPlaywright(report)).toEqual({ passed: 1, failed: 2, failures: ['server did not start', 'zooms'] });
  });
});

